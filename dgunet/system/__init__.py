"""Base of all other packages: files, folders, locks, processes and untrusted text."""
