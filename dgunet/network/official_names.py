"""The name of the authors' released implementation; needs no torch."""

from __future__ import annotations

REPOSITORY = "MC-E/Deep-Generalized-Unfolding-Networks-for-Image-Restoration"
"""Its repository at GitHub; the metadata of imported weights begins with it."""
