"""Read-only checks of a cluster before a run is submitted to it."""
