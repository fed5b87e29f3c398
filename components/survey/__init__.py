"""The survey step."""
