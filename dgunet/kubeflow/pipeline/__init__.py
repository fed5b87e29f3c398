"""Compiled pipelines: arguments, compilation, graph and drawing."""
