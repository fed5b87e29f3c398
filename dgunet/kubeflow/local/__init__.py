"""Runs a compiled pipeline on this machine, as processes or containers."""
