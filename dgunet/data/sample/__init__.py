"""Generator of the sample data."""
