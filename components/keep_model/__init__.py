"""The keep_model step."""
