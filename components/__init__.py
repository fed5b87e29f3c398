"""KFP components: typed doors into `dgunet.stages`, one folder a step."""

import os

IMAGE = os.environ.get("DGUNET_IMAGE", "dgunet:local")
"""The image that the components run in, read when a pipeline is compiled (`make image`)."""
