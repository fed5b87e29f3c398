"""Reading the official folders: layouts, pairs and image files."""
