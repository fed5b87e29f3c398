"""The ablate step."""
