"""The gather step."""
