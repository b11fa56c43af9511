"""What serving processes and the ledger say to each other: files in the serving folder, as everywhere in this contract.

A serving process has no way to the ledger. An agent beside it writes down which versions answer whom
(`deployment.json`, replaced whole) and loads what the process has recorded: a line of JSON for each answer and each
feedback, written to a segment of its spool before the caller is answered. A line that ends in a newline counts; one
that does not was never answered.

    <serving folder>/deployment.json
    <serving folder>/spools/<server>/lock                  held (flock) for as long as the process lives
    <serving folder>/spools/<server>/<first sequence>.jsonl
    <serving folder>/pictures/<server>/<image id>          the bytes of a file, kept to be labelled and learnt from

A server has a name that no other ever had, and takes its lock right after it has made its folder: for the first seconds
of a lock, the agent does not look whether it is held. It begins a later segment once it writes no more to the one
before; the agent then removes that, when it is loaded, and of a process that has ended all that it left.
"""

import dataclasses
from typing import Literal

from strandline_contract.bundle import BundleRef
from strandline_contract.messages import BadRequest, Message

DEPLOYMENT_FILE = "deployment.json"
SPOOLS_FOLDER = "spools"
PICTURES_FOLDER = "pictures"
LOCK_FILE = "lock"
ANONYMOUS = "anonymous"  # the consumer that callers without a token are


@dataclasses.dataclass(frozen=True)
class Consumer(Message):
    """An application that may ask.

    `token_sha256`: of the token that it sends. `requests_per_second`: at the most. `version`: the one that answers it,
    whatever the champion is; None stands for the champion.

    Raises:
        BadRequest: nobody could be answered so.
    """

    name: str
    token_sha256: str
    requests_per_second: float
    version: str | None = None

    def __post_init__(self) -> None:
        if self.requests_per_second <= 0:
            raise BadRequest(f"{self.name} may ask {self.requests_per_second} times a second: never")


@dataclasses.dataclass(frozen=True)
class Rollout(Message):
    """A version that is compared with the champion on what callers ask who are not pinned.

    `mode`: as a shadow it computes what the champion was asked, and nobody is told what it says; as a canary it answers
    in the champion's place. `share`: 0 to 1, of the pictures (shadow), or of the callers (canary).

    Raises:
        BadRequest: there is no such share.
    """

    rollout_id: str
    bundle: BundleRef
    mode: Literal["shadow", "canary"]
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise BadRequest(f"the share of rollout {self.rollout_id} is {self.share}, not 0 to 1")


@dataclasses.dataclass(frozen=True)
class Deployment(Message):
    """Which versions answer whom.

    `read_at`: when the ledger last said so, in ISO 8601 with its zone. `pinned`: the bundles of versions that
    consumers are pinned to; a version that is missing here has no bundle any more. `anonymous_requests_per_second`: of
    all callers without a token together; None refuses them. `rollout`: None while no version is compared.
    """

    read_at: str
    champion: BundleRef
    pinned: tuple[BundleRef, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    anonymous_requests_per_second: float | None = None
    rollout: Rollout | None = None


@dataclasses.dataclass(frozen=True)
class ServedPrediction(Message):
    """What one picture of a request was answered, refused ones too; or what a shadow says of it, which nobody is told.

    `server` and `sequence`: the serving process, and the number of the line among all that it wrote, from 1. `at`: in
    ISO 8601 with its zone. `image_id`: the SHA-256 of the file's bytes, or of the pixels if pixels were sent (`format`
    is then "pixels"). `status`, `reason`, `detail`, `notes`: as in OUTCOME_COLUMNS. `label`, `confidence` and
    `probabilities` are None if it was refused, or if the network failed on it (`failure`, as in PREDICTION_COLUMNS).
    `seconds`: from the request's last byte to this line. `versions`: what decided the values beside the bundle.
    `kept`: whether the file lies among the pictures. `role`: of the version. `rollout_id`: of all that belongs to a
    comparison: the answers of both arms of a canary; with a shadow, those that it computed too, and what it says.
    `shadow_of`: the prediction_id of the answer that was given.
    """

    server: str
    sequence: int
    prediction_id: str
    at: str
    consumer: str
    version: str
    image_id: str
    bytes: int
    status: str
    seconds: float
    kept: bool = False
    reason: str | None = None
    detail: str | None = None
    notes: str | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    label: str | None = None
    confidence: float | None = None
    probabilities: tuple[float, ...] | None = None
    failure: str | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    role: Literal["champion", "pinned", "canary", "shadow"] = "champion"
    rollout_id: str | None = None
    shadow_of: str | None = None
    kind: Literal["prediction"] = "prediction"


@dataclasses.dataclass(frozen=True)
class ServedFeedback(Message):
    """The label that an application gives a picture it had classified."""

    server: str
    sequence: int
    at: str
    consumer: str
    prediction_id: str
    label: str
    kind: Literal["feedback"] = "feedback"
