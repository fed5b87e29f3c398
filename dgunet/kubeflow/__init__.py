"""Kubeflow: where steps run, what a submission costs, how it is sent and watched."""
