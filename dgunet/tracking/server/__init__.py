"""MLflow's side: a quiet client with limits, a store made once, and whether it answers."""
