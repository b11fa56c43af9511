"""What addresses may say, beside what Postgres could not even be asked for."""

from typing import Annotated

from fastapi import Path, Query

LARGEST = 2**63 - 1
PLAIN = r"^[^\x00]*$"  # no text in Postgres has a NUL

Text = Annotated[str, Query(pattern=PLAIN, max_length=5000)]
TextInPath = Annotated[str, Path(pattern=PLAIN, max_length=5000)]
Number = Annotated[int, Query(ge=0, le=LARGEST)]
NumberInPath = Annotated[int, Path(ge=0, le=LARGEST)]
Sha256InPath = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
