"""What images show in truth: label files, people's answers, and which images a person is asked for.

Labels that a path gives are the listing's (`ingest`); what labels say about a model is in `drift` and `promotion`.
"""
