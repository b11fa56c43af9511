"""Whether a model version answers the same, or as well, whatever computes it: measured on the holdout, and recorded.

What a version may be used in does not belong here: `models.runtimes` reads it off the ledger.
"""
