"""What the steps tell people and MLflow: progress, curves, images, per-image tables."""
