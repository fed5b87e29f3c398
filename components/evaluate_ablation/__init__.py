"""The evaluate_ablation step."""
