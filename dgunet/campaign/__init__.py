"""Campaigns: the cells of the paper's tables that a user wants, and the steps that fill them."""
