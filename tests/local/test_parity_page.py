"""The page of `make parity`, of counts that are made here. What it measures is tested with the vision project."""

import pytest
from parities import agreement, lost

import strandline_contract as contract
from local.bench import parity_page


def report(**found: contract.Agreement) -> contract.ParityReport:
    """Of OpenVINO in these precisions; ONNX Runtime is not there."""
    there = tuple(
        contract.RuntimeParity(contract.Runtime("openvino", 2, 64, precision), one) for precision, one in found.items()
    )
    gone = contract.RuntimeParity(contract.Runtime("onnxruntime", 2, 64), None, "it says\na | b")
    return contract.ParityReport(contract.Runtime("mxnet", 2, 64), 500.0, "a processor", (*there, gone))


def test_each_runtime_has_a_row_and_the_reference_too():
    bf16 = lost(10_000, 8, 6, images_per_second=1900.0)
    page = parity_page.render("a_network", report(f32=agreement(10_000), bf16=bf16), load=0.5)
    assert "a_network on CIFAR-10's 10,000 test images, by 2 cores of a processor.\n\n" in page
    rows = [row for row in page.splitlines() if row.startswith(("| mxnet", "| openvino", "| onnx"))]
    assert rows == [
        "| mxnet f32, the reference | | | | | 90.00% | | | 500 |",
        "| openvino f32 | pass | 100.00% | 1e-06 | 1e-06 | 90.00% | +0.00 (−0.04 to +0.04) | 0, 0 | 1,000 |",
        "| openvino bf16 | pass | 99.86% | 1e-06 | 1e-06 | 89.98% | −0.02 (−0.10 to +0.06) | 6, 8 | 1,900 |",
        "| onnxruntime f32 | it says a / b | | | | | | | |",
    ]
    assert len({row.count("|") for row in rows}) == 1
    assert "bf16 classified 1.9 times as many images" in page
    assert "busy" not in page


def test_a_busy_machine_and_one_without_bf16_are_named():
    page = parity_page.render("a_network", report(f32=agreement(), bf16=agreement(images_per_second=9e9)), load=5.0)
    assert "a load of 5 on 2 cores" in page
    assert "times as many images" not in page
    assert "does not compute in bf16" in parity_page.render("a_network", report(f32=agreement()), load=0.5)


def test_there_is_no_page_of_nothing():
    with pytest.raises(ValueError, match="it says"):
        parity_page.render("a_network", report(), load=0.0)
