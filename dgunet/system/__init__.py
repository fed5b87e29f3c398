"""Files, folders, locks, processes and untrusted text: the base of all other packages."""
