"""Training over several nodes with Kubeflow Trainer."""
