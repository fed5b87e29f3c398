"""Catalogue of the paper's datasets."""
