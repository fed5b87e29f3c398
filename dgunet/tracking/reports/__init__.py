"""Reports of the steps to the terminal and MLflow: progress, metrics, images, network size."""
