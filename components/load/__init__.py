"""The load step."""
