"""Tools that are run by hand, outside the pipeline: scoring, inspection, promotion, clean-up."""
