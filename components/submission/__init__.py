"""The submission step."""
