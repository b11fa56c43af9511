"""How the champion changes: evaluation, gate, a person's approval, promotion, monitoring, roll back.

Statistics of two models are in `stats`; what a version is, in `models`.
"""
