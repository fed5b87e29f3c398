"""Access to MLflow: health check, client with time limits, and creation of the store."""
