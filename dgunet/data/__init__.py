"""Datasets: catalogue, acquisition, readers, checks, prepared stores and training batches."""
