"""A cluster's settings, and their placement onto the tasks of a pipeline."""
