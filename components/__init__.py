"""KFP components: typed interfaces of `dgunet.steps`, one folder for each step."""

IMAGE = "dgunet:local"
"""The image that ``make image`` builds; the cluster file names a cluster's image, by digest."""
