"""Functions that only the KFP components call."""
