"""KFP components: typed doors into `dgunet.steps`, one folder a step."""

IMAGE = "dgunet:local"
"""What ``make image`` builds. A cluster's image, by digest, is in ``pipelines/cluster.yaml``."""
