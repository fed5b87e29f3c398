"""Measurements of this project; `python -m benchmarks` times pairs in turn."""
