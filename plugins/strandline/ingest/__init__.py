"""From a drop to closed books: list, validate, plan the classification, load.

What a label means does not belong here (`labels`), nor what a window of predictions says (`drift`).
"""
