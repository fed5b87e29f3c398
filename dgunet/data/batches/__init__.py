"""Training batches and validation pairs from prepared stores."""
