"""The prepared store: preparation, its files, its manifest, its verification."""
