"""KFP pipelines built from `components`."""
