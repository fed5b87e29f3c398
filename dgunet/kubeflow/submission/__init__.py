"""A pipeline on a Kubeflow Pipelines server: plan, submit, watch, cancel."""
