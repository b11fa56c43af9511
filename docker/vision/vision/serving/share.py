"""Who takes part in a rollout: by a hash, so the same ones each time, and who is in stays in as the share grows."""

import hashlib

import strandline_contract as contract


def is_in(rollout: contract.Rollout, key: str) -> bool:
    digest = hashlib.sha256((rollout.rollout_id + key).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4]) < rollout.share * 2**32
