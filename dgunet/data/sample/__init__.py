"""The generated sample data."""
