"""Who asks, by the token that comes with a request, and how often each may."""

import hashlib
import time

import strandline_contract as contract
from vision.serving.problems import Problem

BURST_SECONDS = 1.0  # of requests that may come at once


class Caller:
    """A consumer, and how many requests it has left: as many as it may send in BURST_SECONDS, at least one."""

    def __init__(self, name: str, rate: float, version: str | None) -> None:
        self.name, self.version = name, version
        self._left = 1.0
        self._at = time.monotonic()
        self.allow(rate)

    def allow(self, rate: float) -> None:
        self._rate, self._most = rate, max(1.0, rate * BURST_SECONDS)
        self._left = min(self._left, self._most)

    def spend(self) -> None:
        """
        Raises:
            Problem: it has asked too often.
        """
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            wait = (1 - self._left) / self._rate
            raise Problem("RATE_LIMITED", f"{self.name} may send {self._rate:g} requests a second", wait)
        self._left -= 1


class Consumers:
    """Those of the deployment; they keep what they have left when another one takes its place."""

    def __init__(self) -> None:
        self._by_token: dict[str, Caller] = {}
        self._by_name: dict[str, Caller] = {}
        self._anonymous: Caller | None = None

    def take(self, deployment: contract.Deployment) -> None:
        allowed = [(one.name, one.requests_per_second, one.version) for one in deployment.consumers]
        if (rate := deployment.anonymous_requests_per_second) is not None:
            allowed.append((contract.ANONYMOUS, rate, None))
        self._by_name = {name: self._caller(name, rate, version) for name, rate, version in allowed}
        self._by_token = {one.token_sha256: self._by_name[one.name] for one in deployment.consumers}
        self._anonymous = self._by_name.get(contract.ANONYMOUS) if rate is not None else None

    def caller(self, authorization: str | None) -> Caller:
        """Who sends this header.

        Raises:
            Problem: nobody that is known, or too often.
        """
        caller = self._of_token(authorization) if authorization else self._anonymous
        if caller is None:
            raise Problem("TOKEN_MISSING", "nobody is answered without a token: Authorization: Bearer ...")
        caller.spend()
        return caller

    def _of_token(self, authorization: str) -> Caller:
        scheme, _, token = authorization.partition(" ")
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
        caller = self._by_token.get(digest) if scheme.lower() == "bearer" else None
        if caller is None:
            raise Problem("TOKEN_UNKNOWN", "the token is unknown, or it was revoked")
        return caller

    def _caller(self, name: str, rate: float, version: str | None) -> Caller:
        caller = self._by_name.get(name) or Caller(name, rate, version)
        caller.version = version
        caller.allow(rate)
        return caller
