"""A cluster's settings, and their application to the tasks of a pipeline."""
