"""The score_ablation step."""
