"""The same model over HTTP: a picture comes in, the champion's answer goes out, as `pack` and `classify` would give it.

One process, `python -m vision.serving`, without a way to the ledger: what it answers whom is in `deployment.json`, what
it answered is in its spool (`strandline_contract.serving`). A picture goes from a request (`application`, `protocol`)
to a decoding process (`decoders`), to a network's process (`model`), into the spool (`recorder`), and only then back.
"""
