"""Training on several nodes with Kubeflow Trainer."""
