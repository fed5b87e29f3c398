"""The train step for several nodes."""
