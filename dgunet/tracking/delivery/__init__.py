"""Journals to MLflow: in order, nothing lost, nothing doubled."""
