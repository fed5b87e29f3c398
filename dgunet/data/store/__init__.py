"""Prepared stores: preparation, file format, reading and verification."""
