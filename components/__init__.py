"""KFP components: typed interfaces of `dgunet.steps`, one folder for each step."""

IMAGE = "dgunet:local"
"""The image that ``make image`` builds; on a cluster, that of the cluster file."""
