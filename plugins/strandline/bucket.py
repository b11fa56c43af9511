"""A landing zone in a bucket of S3, or of what speaks like it: its objects, and each one's address.

A key is opaque bytes: it is compared, stored and sent as it is, and never becomes a path. What tells the versions of an
object apart is its version id, where the bucket keeps versions, else its ETag. Credentials are read anew when the store
says that they have expired; what is busy, or does not answer, is asked again with growing pauses.
"""

import datetime
import logging
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import botocore.session
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from strandline import connections, settings
from strandline.periods import EPOCH
from strandline.scan import UNREADABLE, Entry, Found, LandingError, Rules, path_period, refused

log = logging.getLogger(__name__)

TRIES = 8  # of one request that is refused for no fault of its own
RENEWALS = (0.0, 1.0, 5.0)  # seconds before credentials that have expired are read again
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired"})
UNVERSIONED = frozenset({"NotImplemented", "MethodNotAllowed"})  # what a store says that knows no versions
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_TAG = re.compile(r"([0-9]+)-([ev])([^-]*)")


class Version(NamedTuple):
    """What a version tag says: size in bytes, and one of the two that are not None."""

    size: int
    etag: str | None
    version_id: str | None

    def __str__(self) -> str:
        """The tag: `<size>-v<version id>` or `<size>-e<ETag>`. Quoted so that it has no further hyphen: remarks of the
        lister follow behind one.
        """
        kind, text = ("v", self.version_id) if self.version_id else ("e", self.etag or "")
        return f"{self.size}-{kind}{urllib.parse.quote(text, safe='').replace('-', '%2D')}"

    @classmethod
    def parse(cls, tag: str) -> Self | None:
        """That of a tag, remarks behind it passed over; None if it is none of an object, but of a file."""
        if not (match := _TAG.match(tag)):
            return None
        size, kind, quoted = match.groups()
        text = urllib.parse.unquote(quoted)
        return cls(int(size), *((None, text) if kind == "v" else (text, None)))


class Bucket:
    """The part of a bucket that is the landing zone; names are relative to it.

    Args:
        connection: Airflow's, with the credentials; empty for what AWS's own tools find.

    Raises:
        LandingError: there are no credentials.
    """

    def __init__(self, url: settings.BucketUrl, connection: str = "") -> None:
        self.url = url
        self._connection = connection
        self.renew()

    @classmethod
    def landing(cls, config: settings.Settings) -> Self:
        """That of the settings, which name one."""
        assert isinstance(config.landing, settings.BucketUrl)
        return cls(config.landing, config.landing_connection)

    def renew(self) -> None:
        """Read the credentials anew."""
        try:
            given = connections.aws(self._connection) if self._connection else None
        except LookupError as error:
            raise LandingError(f"{self.url} cannot be opened: {error}") from error
        session = botocore.session.Session()
        if given and given.access_key:
            session.set_credentials(given.access_key, given.secret_key, given.session_token)
        self._client: Any = session.create_client(
            "s3",
            region_name=given.region if given else None,
            endpoint_url=given.endpoint if given else None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": TRIES}, connect_timeout=10, read_timeout=60
            ),
        )
        self.authorities: str | None = session.get_config_variable("ca_bundle")
        self._credentials = session.get_credentials()
        if self._credentials is None:
            raise LandingError(
                f"there are no credentials for {self.url}: name a connection by STRANDLINE_LANDING_CONNECTION, or give"
                " the worker AWS's variables or a role"
            )
        # Once, by botocore's own rules for regions, endpoints and names of buckets; a key is then put behind it.
        address = self._client.generate_presigned_url("get_object", Params={"Bucket": self.url.bucket, "Key": "x"})
        self._address = address.partition("?")[0].removesuffix("x")
        self._region = self._client.meta.region_name or "us-east-1"

    def entries(self, rules: Rules) -> Iterator[Entry]:
        """What lies there, as the rules say, in any order, and all of it.

        Raises:
            LandingError: the listing did not come to its end; the message says what to do.
        """
        try:
            for page in self._pages():
                for listed in page:
                    if entry := _entry(listed, self.url.prefix, rules):
                        yield entry
        except (ClientError, BotoCoreError) as error:
            raise LandingError(
                f"{self.url} cannot be listed to its end ({error}): the next try lists it from the beginning"
            ) from error

    def _pages(self) -> Iterator[list[Mapping[str, Any]]]:
        """The objects, a thousand or less at a time, as the store describes them."""
        versioned = self._keeps_versions()
        operation, objects = ("list_object_versions", "Versions") if versioned else ("list_objects_v2", "Contents")
        marks = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
        marks = marks if versioned else {"ContinuationToken": "NextContinuationToken"}
        place: dict[str, Any] = {}
        while True:
            page = self._call(operation, Prefix=self.url.prefix, OptionalObjectAttributes=["RestoreStatus"], **place)
            yield [one for one in page.get(objects, ()) if one.get("IsLatest", True)]
            if not page.get("IsTruncated"):
                return
            following = {name: page[mark] for name, mark in marks.items() if page.get(mark)}
            if following in ({}, place):
                raise LandingError(f"{self.url} says that its listing goes on, and not where: no half of it is taken")
            place = following

    def _keeps_versions(self) -> bool:
        try:
            return bool(self._call("get_bucket_versioning").get("Status"))
        except ClientError as error:
            if _code(error) in UNVERSIONED:
                return False
            raise

    def has(self, name: bytes) -> bool:
        """Whether there is an object of this name.

        Raises:
            LandingError: the store does not say.
        """
        return self._stored("head_object", name, {"404", "NoSuchKey"})

    def put(self, name: bytes, content: bytes) -> None:
        """Put an object, whole.

        Raises:
            LandingError: the store does not take it.
        """
        self._stored("put_object", name, frozenset(), Body=content)

    def _stored(self, operation: str, name: bytes, not_so: frozenset[str] | set[str], **more: Any) -> bool:
        key = self.url.prefix + name.decode()
        try:
            self._call(operation, Key=key, **more)
        except ClientError as error:
            if _code(error) in not_so:
                return False
            raise LandingError(f"{self.url} refuses {operation} of {key[:300]!r}: {error}") from error
        except BotoCoreError as error:
            raise LandingError(f"{self.url} does not answer ({error}): the next try asks again") from error
        return True

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        for wait in (*RENEWALS, None):
            try:
                answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.url.bucket, **arguments)
                return answer
            except ClientError as error:
                if _code(error) not in EXPIRED or wait is None:
                    raise
                log.warning("the credentials of %s have expired (%s): reading them anew", self.url, _code(error))
                time.sleep(wait)
                self.renew()
        raise AssertionError("unreachable")

    def proxy(self) -> str | None:
        """The one that the environment names for the store's address, as other tools find it; None without one."""
        address = urllib.parse.urlsplit(self._address)
        past = urllib.request.proxy_bypass(address.hostname or "")
        return None if past else urllib.request.getproxies().get(address.scheme)

    def request(self, name: bytes, version: Version) -> tuple[str, dict[str, str]]:
        """The address of that version of an object, percent-encoded, and the headers to get it with, signed for now."""
        address = self._address + urllib.parse.quote(self.url.prefix.encode() + name, safe="/~")
        headers = {}
        if version.version_id:
            address += f"?versionId={urllib.parse.quote(version.version_id, safe='')}"
        else:
            headers["If-Match"] = f'"{version.etag}"'
        asked = AWSRequest("GET", address, headers=headers)
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(asked)
        return address, dict(asked.headers)


def scan(
    config: settings.Settings, takes: Callable[[datetime.datetime], bool], now_ns: int, max_bytes: int | None = None
) -> Iterator[Entry]:
    """As `scan.scan`, of a landing zone that is a bucket.

    Raises:
        LandingError: it cannot be listed to its end: a listing is whole, or it fails.
    """
    return Bucket.landing(config).entries(Rules.of(takes, now_ns, max_bytes))


def _entry(listed: Mapping[str, Any], prefix: str, rules: Rules) -> Entry | None:
    name = listed["Key"].removeprefix(prefix).encode()
    if not name:  # some tools put an object of no bytes where the landing zone itself begins
        return None
    changed = (listed["LastModified"] - EPOCH) // datetime.timedelta(microseconds=1) * 1000
    version_id = listed.get("VersionId", "null")
    # The version `null` is of a time without versions, and is overwritten.
    version = Version(listed["Size"], listed["ETag"].strip('"'), None if version_id == "null" else version_id)
    found = Found(name, str(version), listed["Size"], changed, max(0, changed))
    state, reason = rules.state(found)
    if state is None and not found.size and name.endswith(b"/"):
        state, reason = refused("DIR")
    elif state is None and _is_archived(listed):
        state, reason = refused("UNREADABLE")
        found = found._replace(version=found.version + UNREADABLE)
    return rules.entry(found, path_period(name), state, reason)


def _is_archived(listed: Mapping[str, Any]) -> bool:
    restored = listed.get("RestoreStatus", {})
    return listed.get("StorageClass") in ARCHIVES and "RestoreExpiryDate" not in restored


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
