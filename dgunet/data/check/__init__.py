"""What a dataset on disk really is, and where datasets overlap."""
