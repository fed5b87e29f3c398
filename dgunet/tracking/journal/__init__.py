"""The journal of a run: a folder that is only appended to until MLflow has all of it."""
