"""Readers of the official folder trees: layouts, pairs and image files."""
