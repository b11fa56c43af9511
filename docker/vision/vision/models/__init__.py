"""Bundles, and the networks in them: loaded, run, guarded, measured. Nothing here sees an encoded image."""
