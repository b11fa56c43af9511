"""What a wholly taken-over vision process may leave behind, made for real; and what is kept of it."""

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowException

import strandline_contract as contract
from strandline import attempts, settings
from strandline.operators.process import ProcessOperator

GOLDEN = json.loads((settings.REPOSITORY / "tests" / "contract" / "golden.json").read_bytes())
OUTPUT, MOST = contract.PREDICTIONS_FILE, 10**6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An attempt that has ended, with a bundle among its outputs."""
    folder = tmp_path / "attempt"
    (folder / "bundle").mkdir(parents=True)
    contract.write_json(folder / contract.REQUEST_FILE, GOLDEN["requests"]["classify"])
    (folder / OUTPUT).write_bytes(b"rows")
    (folder / "bundle" / contract.WEIGHTS_FILE).write_bytes(b"weights")
    contract.write_result(folder, "classify", [OUTPUT, "bundle/weights.params"], {}, {}, {})
    return folder


def seal(folder: Path, request: str | None = None) -> str:
    asked = request or contract.sha256_file(folder / contract.REQUEST_FILE)
    return attempts.seal(folder, "classify", asked, MOST)[1]


def found(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): stat.filemode(path.lstat().st_mode) for path in folder.rglob("*")}


SEALED = {
    "request.json": "-r--r--r--",
    "result.json": "-r--r--r--",
    OUTPUT: "-r--r--r--",
    "bundle": "drwxr-xr-x",
    "bundle/weights.params": "-r--r--r--",
}


def make_closed_folder(path: Path) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "file").write_bytes(b"x")
    (path / "inner").chmod(0)
    path.chmod(0)


LEFT: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a folder": lambda path: path.symlink_to("/etc"),
    "a broken link": lambda path: path.symlink_to("nowhere"),
    "a closed folder": make_closed_folder,
    "a sparse file": lambda path: (path.touch(), os.truncate(path, 2**40)),
    "a setuid file": lambda path: (path.write_bytes(b"x"), path.chmod(0o4755)),
    "a hard link of an output": lambda path: os.link(
        next(one for one in path.parent.iterdir() if one.suffix in (".parquet", ".params")), path
    ),
}


@pytest.mark.parametrize("where", ["left", "bundle/left"])
@pytest.mark.parametrize("make", LEFT.values(), ids=LEFT)
def test_of_an_attempt_only_plain_read_only_files_that_its_result_names_are_kept(folder, make, where):
    make(folder / where)
    (folder / OUTPUT).chmod(0o6777)
    seal(folder)
    assert found(folder) == SEALED
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert Path("/etc/hostname").exists()


OUTPUTS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to what it says": lambda path: ((path.parent.parent / "x").write_bytes(b"rows"), path.symlink_to("../x")),
    "a folder": Path.mkdir,
    "a sparse file": lambda path: (path.touch(), os.truncate(path, 2**40)),
    "a hard link of another file": lambda path: (
        (path.parent.parent / "x").write_bytes(b"rows"),
        os.link(path.parent.parent / "x", path),
    ),
    "missing": lambda path: None,
}


@pytest.mark.parametrize("name", [OUTPUT, contract.RESULT_FILE, contract.REQUEST_FILE, "bundle/weights.params"])
@pytest.mark.parametrize("make", OUTPUTS.values(), ids=OUTPUTS)
def test_an_attempt_with_a_file_that_is_no_plain_one_did_not_happen(folder, name, make):
    asked = contract.sha256_file(folder / contract.REQUEST_FILE)
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(contract.NoResult, match="again"):
        seal(folder, asked)


def test_an_attempt_that_rewrites_its_request_did_not_happen(folder):
    asked = contract.sha256_file(folder / contract.REQUEST_FILE)
    contract.write_json(folder / contract.REQUEST_FILE, GOLDEN["requests"]["classify"] | {"shard_id": "bb"})
    contract.write_result(folder, "classify", [OUTPUT], {}, {}, {})
    with pytest.raises(contract.NoResult, match="another request than it was given"):
        seal(folder, asked)


@pytest.mark.parametrize("name", [OUTPUT, contract.REQUEST_FILE])
def test_what_is_altered_after_it_was_sealed_is_seen_though_it_agrees_with_itself(folder, name):
    done = attempts.SealedAttempt("x", folder.name, seal(folder))
    assert attempts.read(folder.parent, done, "classify")[0] == folder
    (folder / name).unlink()
    contract.write_json(folder / name, GOLDEN["requests"]["classify"] | {"shard_id": "bb"})
    contract.write_result(folder, "classify", [OUTPUT], {}, {}, {})
    with pytest.raises(contract.NoResult, match="altered after it was sealed"):
        attempts.read(folder.parent, done, "classify")


def test_a_request_of_the_ledger_is_the_one_that_was_asked(folder):
    batch = {"folder": folder.name, "result_sha256": seal(folder)}
    batch |= {"shard_sha256": GOLDEN["requests"]["classify"]["shard"]["sha256"]}
    assert attempts.recorded_request(folder.parent, batch).to_dict() == GOLDEN["requests"]["classify"]
    other = GOLDEN["requests"]["classify"] | {"shard": {"path": "elsewhere.parquet", "sha256": "0" * 64}}
    contract.write_json(folder / contract.REQUEST_FILE, other)
    contract.write_result(folder, "classify", [OUTPUT], {}, {}, {})
    with pytest.raises(contract.NoResult, match="altered"):
        attempts.recorded_request(folder.parent, batch)


def test_of_a_failed_attempt_only_what_another_goes_on_from_is_kept(folder):
    for make, name in zip(LEFT.values(), LEFT, strict=True):
        make(folder / name)
    (folder / contract.CHECKPOINT_FILE).write_bytes(b"epoch 1")
    attempts.discard(folder)
    assert found(folder).keys() == {contract.REQUEST_FILE, contract.CHECKPOINT_FILE}


@pytest.mark.parametrize(
    ("fill", "says"),
    [
        (lambda folder: (folder / "x").write_bytes(bytes(2 * MOST)), "STRANDLINE_ATTEMPT_BYTES allows 1,000,000"),
        (lambda folder: [(folder / f"{n}").touch() for n in range(20)], "more than 10 files"),
        (lambda folder: (folder / "a" / "b").mkdir(parents=True), None),
    ],
    ids=["bytes", "files", "nothing much"],
)
def test_how_much_an_attempt_wrote_is_said_in_a_sentence(tmp_path, fill, says):
    fill(tmp_path)
    over = attempts.excess(tmp_path, MOST, 10)
    assert says in over if says else over == ""


RUN = "manual__2026-11-21T08:00:00+00:00"
SCRIPTS = {
    "bytes": "n = 0\nwhile True:\n    open(f'{n}', 'wb').write(bytes(2**20)); n += 1; time.sleep(0.01)",
    "files": "n = 0\nwhile True:\n    open(f'{n}', 'wb'); n += 1; time.sleep(0.001)",
}


@pytest.fixture
def taken_over(tmp_path, monkeypatch) -> Callable[[str], ProcessOperator]:
    """An operator whose vision process is wholly taken over, and runs a script."""
    python = tmp_path / "python"
    monkeypatch.setenv("STRANDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STRANDLINE_VISION_PYTHON", str(python))
    monkeypatch.setenv("STRANDLINE_ATTEMPT_BYTES", str(50 * 2**20))
    monkeypatch.setenv("STRANDLINE_ATTEMPT_FILES", "300")
    monkeypatch.setattr(attempts, "LOOK", 0.05)
    settings.get.cache_clear()

    def make(script: str) -> ProcessOperator:
        real = settings.REPOSITORY / ".strandline" / "venvs" / "airflow" / "bin" / "python"
        (tmp_path / "script.py").write_text(f"import os, time\n{script}\n")
        python.write_text(f"#!/bin/sh\nexec {real} {tmp_path / 'script.py'}\n")
        python.chmod(0o755)
        return ProcessOperator(task_id="x", vision_command="classify", request=GOLDEN["requests"]["classify"])

    yield make
    settings.get.cache_clear()


def execute(operator: ProcessOperator) -> dict:
    return operator.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=1)})


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_process_that_fills_the_disk_is_ended_with_a_sentence_and_nothing_of_it_is_left(taken_over, kind):
    with pytest.raises(attempts.TooMuch, match=f"STRANDLINE_ATTEMPT_{kind.upper()}"):
        execute(taken_over(SCRIPTS[kind]))
    (folder,) = settings.get().run_folder(RUN).glob("classify/*/*")
    assert found(folder).keys() == {contract.REQUEST_FILE}


def test_no_file_of_a_process_grows_beyond_its_bound(taken_over):
    script = "with open('sparse', 'wb') as file: os.truncate(file.fileno(), 2**40)"
    with pytest.raises(AirflowException, match="File too large"):
        execute(taken_over(script))


def test_a_process_that_leaves_a_pipe_for_a_result_hangs_nobody(taken_over):
    ended = threading.Event()

    def run() -> None:
        with pytest.raises(contract.NoResult, match="no regular file"):
            execute(taken_over("os.mkfifo('result.json')"))
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(60)
