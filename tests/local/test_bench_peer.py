"""The pieces of `make bench-peer`."""

from local.bench import peer


def test_the_ratio_is_that_of_the_medians():
    seconds = {
        "10000": {"strandline": [5.0, 4.0, 9.0], "ray": [10.0, 20.0, 1.0]},
        "777": {"strandline": [1.0], "ray": [2.0]},
    }
    lines = peer.table({"layout": "2x1x256", "seconds": seconds}).splitlines()
    assert [line.split()[-2:] for line in lines] == [
        ["10,000", "777"],
        ["2,000", "777"],
        ["1,000", "388"],
        ["2.00", "2.00"],
        ["target", "1.5"],
    ]
