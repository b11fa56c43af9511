"""A task that looks again and again."""

import pytest
from airflow.sdk.exceptions import AirflowException

from strandline.operators.watch import watch


@pytest.mark.parametrize("enough", [True, False])
def test_it_looks_at_its_run(enough):
    seen = []

    def look(*given) -> bool:
        seen.append(given)
        return enough

    task = watch("canary", look, most_hours=1)
    assert task.poke({"run_id": "run", "params": {"pictures": 5}}) is enough
    assert seen == [("run", {"pictures": 5})]


def test_what_it_raises_ends_it():
    def look(*_) -> bool:
        raise AirflowException("worse")

    with pytest.raises(AirflowException, match="worse"):
        watch("canary", look, most_hours=1).poke({"run_id": "run", "params": {}})
