"""A past window classified again, and compared row by row.

Which window is worth it does not belong here: a person asks.
"""
