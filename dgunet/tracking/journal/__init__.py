"""A run's journal: a folder that only grows until MLflow has taken all of it."""
