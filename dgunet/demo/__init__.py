"""A local page that restores an uploaded image, as `dgunet restore` does."""
