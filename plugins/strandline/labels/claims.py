"""Which image a person is asked about next: no two people have the same one before them."""

import datetime

from strandline import ledger

LENGTH = datetime.timedelta(minutes=5)  # that a person has an image to themselves


def claim(labeller: str) -> str | None:
    """The image that this person is to label, theirs for a while; None if nothing is left to ask them.

    Raises:
        Unreachable: the ledger does not answer.
    """
    with ledger.connect("people") as connection:
        ledger.execute(connection, "lock_claims")
        query = {"labeller": labeller, "length": LENGTH}
        return next((row["image_id"] for row in ledger.fetch(connection, "insert_label_claim", query)), None)


def skip(image_id: str, labeller: str) -> None:
    """Do not ask this person about this image again; others are asked."""
    with ledger.connect("people") as connection:
        ledger.execute(connection, "skip_label_claim", {"image_id": image_id, "labeller": labeller})
