"""Statistics of numbers, counts and pairs, each with its source. Nothing here knows of a ledger, a file or an image."""
