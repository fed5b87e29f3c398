"""What a person runs by hand beside the pipeline: scoring, inspection, promotion, clean-up."""
