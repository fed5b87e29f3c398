"""Where the datasets and the published weights are said to be, as data; see ``sources.yaml``."""
