"""The fetch_weights step."""
