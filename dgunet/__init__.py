"""dgunet: reproduce "Deep Generalized Unfolding Networks for Image Restoration" (CVPR 2022)."""

__version__ = "0.1.0"
