"""The catalogue of hostile inputs names, for each of its numbers, tests that there are."""

import re

import pytest

from strandline import settings

CATALOGUE = (settings.REPOSITORY / "docs" / "hostile-inputs.md").read_text()
VISION_TESTS = settings.REPOSITORY / "docker" / "vision" / "tests"
FOLDERS = (settings.REPOSITORY / "tests", VISION_TESTS)
INPUTS = (VISION_TESTS / "inputs.py").read_text()


@pytest.mark.parametrize("number", [f"B{number:02}" for number in range(1, 89)])
def test_each_number_has_its_tests_or_says_why_not(number: str):
    (row,) = re.findall(rf"^\| {number} \|.*$", CATALOGUE, re.M)
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", row)
    assert named or "not here: " in row
    for file, test in named:
        sources = [(folder / file).read_text() for folder in FOLDERS if (folder / file).is_file()]
        assert any(re.search(rf"^def {test}\(", source, re.M) for source in sources), f"{file} has no {test}"
    made = re.search(rf'"{number}-|^ +{number[1:]}: (\(|tuple)', INPUTS, re.M)
    assert bool(made) == (("test_pack.py", "test_input") in named or number == "B28")
