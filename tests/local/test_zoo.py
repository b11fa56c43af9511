"""The pieces of `make zoo`: a process for each network, and the page. That networks work is tested with the vision
project.
"""

import os
import signal
import time

import pytest

from local.bench import zoo, zoo_page


def found(**changes) -> dict:
    return {"probability": 2e-7, "labels": 4, "embedding": 3e-6, "rate": 12.34} | changes


def line(**changes: dict) -> dict:
    """Of a network that works, but for the backends that are changed."""
    names = ("mxnet f32", "openvino f32", "openvino bf16", "onnxruntime f32")
    backends = {name: found() for name in names} | {key.replace("_", " "): value for key, value in changes.items()}
    return {"name": "a", "side": 224, "parameters": 1_500_000, "embedding": 512, "backends": backends, "load": 0.5}


@pytest.mark.parametrize(
    ("changes", "works"),
    [
        ({}, True),
        ({"openvino_bf16": found(probability=0.1, labels=2)}, True),
        ({"openvino_f32": found(probability=2e-4)}, False),
        ({"onnxruntime_f32": found(labels=3)}, False),
        ({"onnxruntime_f32": {"reason": "no such operation"}}, False),
        ({"openvino_f32": found(probability=float("nan"))}, False),
    ],
)
def test_a_network_works_if_all_backends_agree_in_f32(changes, works):
    assert zoo_page.works(line(**changes), batch=4) is works


def test_the_page_has_a_row_for_each_network_and_counts_those_that_work(tmp_path):
    failed = {"name": "b", "side": 32, "reason": "it says a | b,\non two lines"}
    no_bf16 = line(openvino_bf16={"reason": "not by this processor"}) | {"name": "c"}
    zoo_page.write(tmp_path / "zoo.md", [line(), failed, no_bf16], batch=4, machine="2 cores of X", cores=2)
    page = (tmp_path / "zoo.md").read_text()
    assert "Of GluonCV's 3 image classifiers, 2 work here" in page
    assert "by 2 cores of X." in page
    assert "busy" not in page
    rows = [row for row in page.splitlines() if row.startswith(("| a |", "| b |", "| c |"))]
    assert rows == [
        "| a | 224 | 1.5 | 512 | 2e-07, 4, 3e-06 | 2e-07, 4, 3e-06 | 12.3 | 12.3 | 12.3 | 12.3 |",
        "| b | 32 | it says a / b, on two lines | | | | | | | |",
        "| c | 224 | 1.5 | 512 | 2e-07, 4, 3e-06 | - | 12.3 | 12.3 | not by this processor | 12.3 |",
    ]
    assert len({row.count("|") for row in rows}) == 1


def test_a_busy_machine_is_named(tmp_path):
    zoo_page.write(tmp_path / "zoo.md", [line() | {"load": 9.0}], batch=4, machine="2 cores of X", cores=2)
    assert "a load of 9 on 2 cores" in (tmp_path / "zoo.md").read_text()


@pytest.mark.parametrize(
    ("measure", "reason"),
    [
        (lambda name: os.kill(os.getpid(), signal.SIGKILL), "the system killed its process"),
        (lambda name: os.kill(os.getpid(), signal.SIGTERM), "its process ended with code -15"),
        (lambda name: time.sleep(60), "it took longer than 0 s"),
        (lambda name: {}[name], "KeyError: 'a'"),
    ],
    ids=["killed", "crashed", "slow", "failed"],
)
def test_a_network_that_ends_its_process_is_a_line_with_the_reason(monkeypatch, measure, reason):
    monkeypatch.setattr(zoo, "measure", measure)
    ended = zoo.in_process("a", timeout=0.2 if "longer" in reason else 60)
    assert ended["name"] == "a"
    assert ended["reason"].startswith(reason)


def test_of_several_lines_the_last_counts(tmp_path):
    assert zoo.read(tmp_path / "zoo.jsonl") == {}
    (tmp_path / "zoo.jsonl").write_text('{"name": "a", "reason": "x"}\n{"name": "b"}\n{"name": "a"}\n')
    assert zoo.read(tmp_path / "zoo.jsonl") == {"a": {"name": "a"}, "b": {"name": "b"}}
