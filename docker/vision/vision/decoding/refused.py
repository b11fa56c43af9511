"""The end of one entry that does not become an image."""

from strandline_contract.reasons import MEANINGS, STATUS_OF


class Refused(Exception):
    """This entry does not become an image; the others do.

    `code` is a key of STATUS_OF; `detail` is for a person, and may quote hostile text.
    """

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.status = STATUS_OF[code]
        self.detail = printable(detail) if detail else MEANINGS[code]


def printable(text: str, length: int = 300) -> str:
    """One line free of control, bidirectional and other invisible characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:length])
