"""What serving promises when processes end, versions change and limits are met, under load."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import inputs
import pytest
from served import CHAMPION, MODELS, Answer, Served, consumer, named_bundles, ref, serving, wait_for

import strandline_contract as contract

PHOTOS = [inputs.encoded(inputs.photo(seed=seed), "PNG") for seed in range(8)]
SLOW = inputs.many_scans(60)  # for a decoder, some tenths of a second


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """With bundles that differ from the champion by their name, or by a network that is none."""
    store = named_bundles(tmp_path / "store", "next", "pinned", "broken")
    (store / "broken" / contract.GRAPH_FILE).write_bytes(b"")
    return store


class Load:
    """Callers that ask one thing after another, `pause` seconds after an answer; `answers` is all that they got,
    `asked` how often they asked.
    """

    def __init__(self, served: Served, callers: int, pause: float = 0.0) -> None:
        self.served, self.asked, self._pause = served, 0, pause
        self.answers: list[Answer] = []
        self._lock, self._end = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(callers)]

    def wait_for(self, more: int) -> None:
        """This many further answers."""
        before = len(self.answers)
        wait_for(lambda: len(self.answers) >= before + more, "no answers come")

    def _run(self) -> None:
        while not self._end.wait(self._pause):
            with self._lock:
                self.asked += 1
                photo = PHOTOS[self.asked % len(PHOTOS)]
            try:
                answer = self.served.classify(("", photo))
            except OSError:  # the process is gone
                return
            self.answers.append(answer)

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._end.set()
            for thread in self._threads:
                thread.join()


def test_versions_change_under_load_and_a_kill_loses_no_line(store: Path, tmp_path: Path):
    after, pinned, broken = (ref(store, name) for name in ("next", "pinned", "broken"))
    with serving(store, tmp_path / "serving") as served:
        load = Load(served, 4)
        with load.running():
            load.wait_for(20)
            served.deploy(after)
            served.wait_ready(after.version)
            load.wait_for(20)
            assert {answer.status for answer in load.answers} == {200}
            wait_for(lambda: len(served.children("network_worker")) == 1, "the old network stays")
            break_the_champion(served, load, broken, after)
            pin(served, pinned)
            before = len(load.answers)
            load.wait_for(20)
            served.process.kill()
        assert {answer.status for answer in load.answers[before:]} == {200}
        versions = [answer.json["model_version"] for answer in load.answers]
        assert set(versions) == {CHAMPION.version, after.version}
        lines = {line["prediction_id"]: line for line in served.lines() if line["kind"] == "prediction"}
        for answer in load.answers:
            assert lines[answer.json["prediction_id"]]["version"] == answer.json["model_version"]
        assert [line["sequence"] for line in served.lines()] == list(range(1, len(served.lines()) + 1))


def break_the_champion(served: Served, load: Load, broken: contract.BundleRef, last: contract.BundleRef) -> None:
    """It is told, and the version before goes on."""
    served.deploy(broken)
    wait_for(lambda: "cannot be served" in str(served.ready()["problems"]), "it is not told")
    assert served.ready()["champion"] == last.version
    assert served.metric("strandline_deployment_broken") == 1
    load.wait_for(10)
    served.deploy(last)
    wait_for(lambda: served.ready()["problems"] == [], "it does not recover")
    assert {answer.status for answer in load.answers} == {200}


def pin(served: Served, pinned: contract.BundleRef) -> None:
    """Who is pinned gets that version, or, where it has no bundle, a problem: never another version's answer."""
    champion = served.ready()["champion"]
    served.deploy(
        contract.BundleRef("next", champion),
        pinned=(pinned,),
        consumers=(consumer("pinned", "p", version=pinned.version), consumer("lost", "l", version="0" * 64)),
    )
    wait_for(lambda: served.classify(("", PHOTOS[0]), token="l").status != 401, "the token is not known")
    assert served.classify(("", PHOTOS[0]), token="p").json["model_version"] == pinned.version
    lost = served.classify(("", PHOTOS[0]), token="l")
    assert (lost.status, lost.json["reason"]) == (503, "BUNDLE_MISSING")
    assert lost.headers["retry-after"]
    assert served.classify(("", PHOTOS[0])).json["model_version"] == champion


def test_limits_are_met_and_an_end_drains(tmp_path: Path):
    options = ("--max-request-bytes", "200000", "--header-seconds", "2", "--body-seconds", "2")
    with serving(MODELS, tmp_path / "serving", *options, "--max-waiting", "4", "--max-pictures", "6") as served:
        too_large(served)
        too_slow(served)
        answer = served.classify(*(("", PHOTOS[0]),) * 7)
        assert (answer.status, answer.json["reason"]) == (400, "BAD_REQUEST")
        drains(served)


def too_large(served: Served) -> None:
    answer = served.classify(("", bytes(200_001)))
    assert (answer.status, answer.json["reason"]) == (413, "BODY_TOO_LARGE")
    chunks = b"ffff\r\n%s\r\n" % bytes(0xFFFF)
    said = raw(served, b"POST /classify HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + chunks * 4)
    assert said.startswith(b"HTTP/1.1 413")
    assert raw(served, b"GET / HTTP/1.1\r\nx: " + b"y" * 65_600).startswith(b"HTTP/1.1 431")


def too_slow(served: Served) -> None:
    assert raw(served, b"GET / HT").startswith(b"HTTP/1.1 408")
    said = raw(served, b"POST /classify HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
    assert said.startswith(b"HTTP/1.1 408")
    assert b"BODY_TOO_SLOW" in said


def raw(served: Served, request: bytes) -> bytes:
    """What comes back until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(request)
        said = b""
        while chunk := connection.recv(65536):
            said += chunk
        return said


def drains(served: Served) -> None:
    """What is under way when the process is to end is answered and on record, and then it ends well."""
    answers: list[Answer] = []
    callers = [threading.Thread(target=lambda: answers.append(served.classify(("", SLOW)))) for _ in range(4)]
    for caller in callers:
        caller.start()
    wait_for(lambda: served.metric("strandline_waiting_pictures") >= 1, "nothing is under way")
    busy = wait_for(lambda: refused(served), "no caller is refused")
    assert (busy.json["reason"], busy.headers["retry-after"]) == ("BUSY", "1")
    served.process.send_signal(signal.SIGTERM)
    for caller in callers:
        caller.join()
    assert served.process.wait(timeout=60) == 0
    assert {answer.status for answer in answers} == {200}
    on_record = {line["prediction_id"] for line in served.lines()}
    assert {answer.json["prediction_id"] for answer in answers} <= on_record


def refused(served: Served) -> Answer | None:
    answer = served.classify(*(("", PHOTOS[0]),) * 4)
    return answer if answer.status == 503 else None
