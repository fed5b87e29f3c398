"""The paper's claims as data, and the test of each on our results.

No step of the pipeline imports this package, so that a claim changes no result.
"""
