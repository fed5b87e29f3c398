"""The prepare step."""
