"""The ledger's side of answers over HTTP: who may ask and which version answers, what was answered, what applications
said about it, and how pictures become a drop. What answers is `vision.serving`, which has no way to the ledger: both
meet in the serving folder, in the words of `strandline_contract.serving`.
"""
