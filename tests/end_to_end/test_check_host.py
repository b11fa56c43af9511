"""A host is checked by a real Airflow: the champion, in the runner that classifies."""

import strandline_contract as contract

DAG = "check_host"


def test_a_host_is_found_fit_to_classify(strandline):
    api = strandline.api
    run_id = api.trigger(DAG)
    state = api.wait(DAG, run_id, timeout=300)
    instances = {row["task_id"]: row for row in api.task_instances(DAG, run_id)}
    logs = {task_id: "\n".join(api.log(DAG, run_id, row)) for task_id, row in instances.items()}
    assert state == "success", logs
    path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/report/xcomEntries/return_value"
    found = contract.PreflightReport.from_dict(api.request("GET", path)["value"])
    champion = strandline.rows("SELECT version FROM champions WHERE period @> now()")
    assert found.device == "cpu"
    assert found.images_per_second > 10
    assert found.batch_size == 64
    assert found.largest_difference <= 1e-4
    assert [found.versions["model"]] == [row["version"] for row in champion]
    assert f"images/s on cpu: {found.hardware[0]}" in logs["report"]
