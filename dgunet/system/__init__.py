"""Files, folders, locks, processes and untrusted text: what every other package stands on."""
