"""Training batches from prepared stores."""
