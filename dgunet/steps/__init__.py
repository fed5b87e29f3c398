"""The pipeline's steps as functions: what the CLI, DVC, Kubeflow and the notebooks all call.

Each takes explicit paths, calls one room of the library, and reports to MLflow. Nothing here
computes a number. Import the module of the step: a stage pays only for what it needs.
"""
