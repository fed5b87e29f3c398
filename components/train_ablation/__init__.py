"""The train_ablation step."""
