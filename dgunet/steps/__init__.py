"""The steps of the pipeline as functions, called by the command line and the Kubeflow components.

A step takes explicit paths, calls functions of the lower packages and reports to MLflow. It
computes no number itself. Import the module of a step, so that only its own dependencies are
loaded.
"""
