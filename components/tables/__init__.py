"""The tables step."""
