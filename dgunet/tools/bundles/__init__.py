"""Sealed bundles of results, which anybody can verify without this package."""
