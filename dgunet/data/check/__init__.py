"""Dataset check: contents of the datasets on disk, and overlaps between them."""
