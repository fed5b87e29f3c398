"""What the KFP components call that no other entry point needs."""
