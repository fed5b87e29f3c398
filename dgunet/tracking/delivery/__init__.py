"""Delivery of journals to MLflow: in order, without loss or duplicates."""
