"""Acquisition of datasets: download, unpacking, search and import."""
