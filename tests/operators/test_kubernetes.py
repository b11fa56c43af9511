"""The cluster's runner: what its pods may do, how they end, and that the manifests beside it are what it needs."""

import datetime
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException
from airflow.serialization.serialized_objects import DagSerialization
from cluster import Cluster, load, running
from image_files import pack_request
from kubernetes.client import ApiClient

import strandline_contract as contract
from strandline import settings
from strandline.errors import PermanentError
from strandline.operators import kubernetes as kubernetes_runner
from strandline.operators.defaults import GOVERNANCE
from strandline.operators.kubernetes import HardenedPodOperator
from strandline.operators.vision import vision_tasks

DEPLOY = settings.REPOSITORY / "deploy" / "kubernetes"
RUN_ID = "manual__2026-11-21T08:00:00+00:00"
SHARD_ID = "5" * 64
IMAGE = "registry.example/strandline/vision@sha256:" + "a" * 64
LABEL_VALUE = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")


@pytest.fixture
def config(tmp_path, monkeypatch) -> Iterator[settings.Settings]:
    values = {"HOME": tmp_path / "home", "LANDING": tmp_path / "landing", "RUNNER": "kubernetes"}
    values |= {"VISION_IMAGE": IMAGE, "DATABASE_URL": "postgresql://secret@nowhere/ledger"}
    for name, value in values.items():
        monkeypatch.setenv(f"STRANDLINE_{name}", str(value))
    settings.get.cache_clear()
    yield settings.get()
    settings.get.cache_clear()


@pytest.fixture
def request_(config) -> dict[str, Any]:
    return pack_request(config, SHARD_ID)


@pytest.fixture
def cluster(config, tmp_path, monkeypatch) -> Iterator[Cluster]:
    """Its node runs the vision command that the pod names, on this host's paths; its role is the worker's."""
    (role,) = (each for each in manifests("role.yaml") if each["kind"] == "Role")
    (tmp_path / "cluster").mkdir()
    for proxy in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    with running(tmp_path / "cluster", lambda pod: vision(config, pod), role["rules"]) as cluster:
        connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(cluster.kubeconfig)}}
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
        yield cluster


def vision(config: settings.Settings, pod: dict[str, Any]) -> list[str]:
    """What the pod's container would run, where the mounts are the host's own folders."""
    container = pod["spec"]["containers"][0]
    mounts = {"/store": str(config.store), "/landing": str(config.landing), "/tmp": str(config.home)}
    for variable in container["env"]:
        if variable["name"] in ("STRANDLINE_STORE", "STRANDLINE_LANDING", "HOME", "MPLCONFIGDIR"):
            variable["value"] = mounts[variable["value"]]
    container["env"].append({"name": "PYTHONPATH", "value": str(settings.REPOSITORY / "docker" / "vision")})
    arguments = [re.sub("^/store", str(config.store), argument) for argument in container["args"]]
    return [str(config.vision.python), "-m", "vision", *arguments]


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def script(text: str) -> Callable[[dict[str, Any]], list[str]]:
    return lambda pod: [sys.executable, "-c", text]


def operator(request: dict[str, Any]) -> HardenedPodOperator:
    return HardenedPodOperator(task_id="pack", vision_command="pack", request=request)


def execute(task: HardenedPodOperator, try_number: int = 1) -> dict[str, Any]:
    return task.execute({"run_id": RUN_ID, "ti": SimpleNamespace(try_number=try_number)})


def spec_of(task: HardenedPodOperator, config: settings.Settings) -> dict[str, Any]:
    """The pod as it goes over the wire."""
    folder = task._new_attempt(config, RUN_ID, 1)
    return ApiClient().sanitize_for_serialization(task.build_pod(config, folder, RUN_ID))


@pytest.fixture
def values() -> dict[str, Any]:
    """Of the Helm chart."""
    (values,) = manifests("values.yaml")
    return values


@pytest.fixture
def pod(config, request_) -> dict[str, Any]:
    return spec_of(operator(request_), config)


class TestSpec:
    def test_it_is_a_pod_that_the_api_knows(self, pod):
        load(pod, "V1Pod")

    def test_an_unknown_field_would_be_noticed(self, pod):
        with pytest.raises(AssertionError):
            load(pod | {"spec": pod["spec"] | {"noSuchField": True}}, "V1Pod")

    def test_it_can_gain_nothing(self, pod):
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": os.getuid() or 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        }
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "serviceAccountName"} & set(spec)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["restartPolicy"] == "Never"

    def test_its_limits_are_what_it_is_given(self, pod, config):
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert container["resources"]["limits"] == {
            "cpu": "1",
            "memory": str(config.vision.memory_bytes),
            "ephemeral-storage": str(128 * 2**20),
        }
        assert pod["spec"]["activeDeadlineSeconds"] == config.vision.timeout_minutes * 60

    def test_it_can_write_its_attempt_alone(self, pod):
        (container,) = pod["spec"]["containers"]
        writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
        (own,) = (mount for mount in writable if mount["name"] == "store")
        attempt = pod["metadata"]["annotations"]["strandline.attempt"]
        assert own["mountPath"] == f"/store/{own['subPath']}"
        assert own["subPath"].startswith("runs/manual_")
        assert own["subPath"].endswith(f"/pack/{SHARD_ID}/{attempt}")
        assert container["args"] == ["pack", "--request", f"{own['mountPath']}/request.json"]
        assert [mount["mountPath"] for mount in writable if mount["name"] != "store"] == ["/tmp"]
        volumes = {volume.pop("name"): volume for volume in pod["spec"]["volumes"]}
        assert volumes == {
            "landing": {"persistentVolumeClaim": {"claimName": "strandline-landing", "readOnly": True}},
            "store": {"persistentVolumeClaim": {"claimName": "strandline-store", "readOnly": False}},
            "scratch": {"emptyDir": {"medium": "Memory", "sizeLimit": str(64 * 2**20)}},
        }

    def test_without_a_folder_it_has_no_landing_zone(self, request_, monkeypatch):
        """What lies in a bucket is brought to its attempt."""
        monkeypatch.setenv("STRANDLINE_LANDING", "s3://photos/landing")
        settings.get.cache_clear()
        spec = spec_of(operator(request_), settings.get())["spec"]
        assert [volume["name"] for volume in spec["volumes"]] == ["store", "scratch"]
        (container,) = spec["containers"]
        assert "/landing" not in [mount["mountPath"] for mount in container["volumeMounts"]]
        assert "photos" not in json.dumps(spec)

    def test_it_holds_no_secret(self, pod, monkeypatch):
        assert "secret@nowhere" not in json.dumps(pod)
        (container,) = pod["spec"]["containers"]
        assert "envFrom" not in container
        assert {variable["name"] for variable in container["env"]} == {
            *("LANG", "HOME", "MPLCONFIGDIR", "PYTHONUNBUFFERED"),
            *("STRANDLINE_LANDING", "STRANDLINE_STORE", "STRANDLINE_SUBMITTED_AT", "STRANDLINE_FILE_BYTES"),
        }

    def test_its_labels_are_valid_and_its_annotations_say_what_they_mean(self, pod):
        labels, annotations = pod["metadata"]["labels"], pod["metadata"]["annotations"]
        assert all(LABEL_VALUE.match(value) for value in labels.values())
        assert {"strandline.run", "strandline.shard", "strandline.command", "strandline.attempt"} <= set(labels)
        assert annotations["strandline.run"] == RUN_ID
        assert annotations["strandline.shard"] == SHARD_ID

    def test_labels_of_different_shards_differ(self, config, request_):
        pods = [spec_of(operator(request_ | {"shard_id": "5" * 63 + last}), config) for last in "56"]
        assert len({pod["metadata"]["labels"]["strandline.shard"] for pod in pods}) == 2

    def test_a_gpu_is_asked_for_where_the_request_names_one(self, config):
        ref = {"path": "shard.parquet", "sha256": "0" * 64}
        request = {"shard_id": SHARD_ID, "shard": ref, "bundle": {"path": "models/1", "version": "1"}}
        request["runtime"] = {"backend": "onnxruntime", "batch_size": 64, "threads": 3, "device": "gpu"}
        task = HardenedPodOperator(task_id="classify", vision_command="classify", request=request)
        spec = spec_of(task, config)["spec"]
        (container,) = spec["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert container["resources"]["limits"]["cpu"] == "3"
        assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]

    def test_nothing_but_a_gpu_request_tolerates_gpu_nodes(self, pod):
        assert "tolerations" not in pod["spec"]
        assert "nvidia.com/gpu" not in pod["spec"]["containers"][0]["resources"]["limits"]

    @pytest.mark.parametrize("image", ["", "vision:latest", "sha256:" + "a" * 64])
    def test_an_image_goes_by_digest_and_can_be_pulled(self, request_, monkeypatch, image):
        monkeypatch.setenv("STRANDLINE_VISION_IMAGE", image)
        settings.get.cache_clear()
        with pytest.raises(PermanentError, match="name@sha256"):
            spec_of(operator(request_), settings.get())

    def test_nothing_is_rendered(self):
        """Nothing of a pod, and of what is given, no string."""
        assert HardenedPodOperator.template_fields == ("given",)


class TestRun:
    def test_a_pod_ends_with_a_sealed_attempt_and_is_deleted(self, config, cluster, request_):
        done = execute(operator(request_))
        assert contract.read_result(config.store / done["folder"], "pack").counts["decoded"] == 3
        sealed = contract.sha256_file(config.store / done["folder"] / contract.RESULT_FILE)
        assert done == {"shard_id": SHARD_ID, "folder": done["folder"], "sealed": sealed, "image": f"sha256:{'a' * 64}"}
        assert len(cluster.created) == 1
        assert cluster.pods == {}

    def test_what_another_try_cannot_fix_is_not_tried_again(self, cluster, request_):
        request_["manifest"]["sha256"] = "0" * 64
        with pytest.raises(PermanentError, match=r"SHA-256.*exit code 65"):
            execute(operator(request_))
        assert cluster.pods == {}

    @pytest.mark.parametrize(
        ("does", "kind", "says"),
        [
            ("print('bad request'); raise SystemExit(64)", PermanentError, "bad request.*exit code 64"),
            ("print('no luck'); raise SystemExit(70)", AirflowException, "ended with exit code 70.*no luck"),
            ("print('out of memory'); raise SystemExit(137)", AirflowException, "STRANDLINE_TASK_MEMORY_BYTES"),
            ("import os; os.kill(os.getpid(), 9)", AirflowException, "killed, by a person or the cluster"),
            ("pass", contract.NoResult, "the attempt did not happen"),
        ],
    )
    def test_how_a_pod_ends_decides_what_is_tried_again(self, cluster, request_, does, kind, says):
        cluster.runs = script(does)
        with pytest.raises(kind, match=says) as raised:
            execute(operator(request_))
        assert raised.type is kind
        assert cluster.pods == {}

    def test_a_pod_is_held_to_its_deadline_without_us(self, cluster, request_, monkeypatch):
        monkeypatch.setenv("STRANDLINE_TASK_TIMEOUT_MINUTES", "0.05")
        settings.get.cache_clear()
        cluster.runs = script("import time; time.sleep(600)")
        with pytest.raises(AirflowException, match=r"deadline of 0\.05 minutes"):
            execute(operator(request_))
        assert cluster.pods == {}

    def test_a_pod_that_somebody_deletes_fails_the_try(self, cluster, request_):
        cluster.runs = script("import time; time.sleep(600)")
        delete = _once(lambda: following(cluster), lambda: cluster.delete(next(iter(cluster.pods))))
        with delete, pytest.raises(AirflowException, match="was deleted while it ran"):
            execute(operator(request_))
        assert cluster.pods == {}

    def test_a_killed_task_deletes_its_pod(self, cluster, request_):
        cluster.runs = script("import time; time.sleep(600)")
        task = operator(request_)
        with _once(lambda: following(cluster), task.on_kill), pytest.raises(AirflowException):
            execute(task)
        assert ("delete", "pods") in cluster.calls
        assert cluster.pods == {}

    def test_a_pod_that_no_node_has_room_for_is_given_up(self, cluster, request_, monkeypatch):
        monkeypatch.setenv("STRANDLINE_TASK_TIMEOUT_MINUTES", "0.02")
        settings.get.cache_clear()
        cluster.runs = lambda pod: None
        with pytest.raises(AirflowException, match="too long to be scheduled"):
            execute(operator(request_))
        assert ("list", "events") in cluster.calls
        assert cluster.pods == {}

    def test_a_stale_attempt_is_deleted_before_the_start_and_nothing_else(self, config, cluster, request_):
        real, cluster.runs = cluster.runs, script("import time; time.sleep(600)")
        stale, other = (spec_of(operator(request_ | {"shard_id": shard}), config) for shard in (SHARD_ID, "6" * 64))
        cluster.create(stale)
        cluster.create(other)
        cluster.runs = real
        execute(operator(request_), try_number=2)
        assert list(cluster.pods) == [other["metadata"]["name"]]

    def test_orphans_are_cleared_up_once_no_task_can_be_theirs(self, config, cluster, request_):
        cluster.runs = script("pass")
        young, old = (spec_of(operator(request_), config) for _ in range(2))
        cluster.create(young)
        cluster.create(old)
        made = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=config.vision.timeout_minutes + 2)
        cluster.pods[old["metadata"]["name"]].manifest["metadata"]["creationTimestamp"] = made.isoformat()
        assert HardenedPodOperator.remove_orphans(config) == [old["metadata"]["name"]]
        assert list(cluster.pods) == [young["metadata"]["name"]]

    def test_a_flood_of_lines_does_not_become_the_tasks_log(self, cluster, request_, monkeypatch, capsys):
        monkeypatch.setattr(kubernetes_runner, "LOGGED_LINES", 10)
        cluster.runs = script("print('drip\\n' * 1000); raise SystemExit(70)")
        with pytest.raises(AirflowException):
            execute(operator(request_))
        shown = capsys.readouterr().out
        assert shown.count("drip") == 10
        assert "more lines were printed" in shown

    def test_a_line_without_an_end_is_read_and_shown_in_bounds(self, cluster, request_, monkeypatch, capsys):
        monkeypatch.setattr(kubernetes_runner, "READ_BYTES", 10_000)
        cluster.runs = script("print('@' * 1_000_000); raise SystemExit(70)")
        with pytest.raises(AirflowException, match="exit code 70"):
            execute(operator(request_))
        assert 1000 < capsys.readouterr().out.count("@") <= 2000
        assert cluster.read_bytes <= 10_000

    def test_what_the_role_forbids_is_said(self, cluster, request_):
        cluster.role = [rule for rule in cluster.role if rule["resources"] != ["pods"]]
        with pytest.raises(AirflowException, match=r"refuses \(403 Forbidden\).*cannot list pods"):
            execute(operator(request_))

    def test_the_role_allows_no_more_than_is_used(self, cluster, request_):
        execute(operator(request_))
        allowed = {
            (verb, resource) for rule in cluster.role for resource in rule["resources"] for verb in rule["verbs"]
        }
        assert set(cluster.calls) == allowed - {("list", "events")}  # which are read while a pod waits, as above


class TestDags:
    def test_only_this_runner_imports_the_client(self):
        """In a fresh interpreter, with the DAG that maps vision tasks."""
        lines = "import runpy, sys; runpy.run_path(sys.argv[1]); print('kubernetes.client' in sys.modules)"
        command = [sys.executable, "-c", lines, str(settings.REPOSITORY / "dags" / "ingest_images.py")]
        imported = {}
        for name in ("process", "kubernetes"):
            environment = os.environ | {"PYTHONPATH": str(settings.REPOSITORY / "plugins"), "STRANDLINE_RUNNER": name}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            imported[name] = done.stdout.split()[-1]
        assert imported == {"process": "False", "kubernetes": "True"}

    def test_what_a_mapped_task_returns_is_pushed_and_no_sidecar_is(self, config, request_, pod):
        with DAG("pods") as dag:
            vision_tasks("pack", "pack").expand(request=[request_])
        json.dumps(DagSerialization.to_dict(dag))
        task = dag.get_task("pack").unmap({"request": request_})
        assert isinstance(task, HardenedPodOperator)
        assert task.do_xcom_push
        assert task.execution_timeout == datetime.timedelta(minutes=config.vision.timeout_minutes)
        assert [container["name"] for container in pod["spec"]["containers"]] == ["vision"]


class TestManifests:
    @pytest.mark.parametrize("name", ["claims.yaml", "network-policy.yaml", "role.yaml", "store.yaml"])
    def test_they_are_what_the_api_knows(self, name, config):
        for manifest in manifests(name):
            load(manifest, f"V1{manifest['kind']}")
            assert manifest["metadata"]["namespace"] == config.vision.kubernetes_namespace

    def test_the_network_policy_closes_the_pods_of_the_runner(self, pod):
        (policy,) = manifests("network-policy.yaml")
        assert policy["spec"] == {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "strandline-vision"}},
            "policyTypes": ["Ingress", "Egress"],
        }
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()

    def test_the_claims_are_those_of_the_pods_and_of_airflow(self, pod, values):
        claims = {claim["metadata"]["name"] for claim in manifests("claims.yaml")}
        volumes = [*pod["spec"]["volumes"], *values["volumes"]]
        mounted = {each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each}
        assert mounted | {values["logs"]["persistence"]["existingClaim"]} == claims

    def test_who_backs_the_store_up_is_its_owner_and_has_its_folder(self, values):
        (pod,) = (manifest["spec"] for manifest in manifests("store.yaml"))
        assert pod["securityContext"] == values["securityContexts"]["pod"]
        (volume,), (container,) = pod["volumes"], pod["containers"]
        assert volume in values["volumes"]
        assert container["volumeMounts"] == [mount for mount in values["volumeMounts"] if mount["name"] == "store"]
        assert container["image"].partition(":")[0] == values["defaultAirflowRepository"]

    def test_the_values_set_what_is_a_setting(self, values, monkeypatch):
        plain = {each["name"]: each["value"] for each in values["env"] if each["name"].startswith("STRANDLINE_")}
        assert plain.keys() <= settings.Settings().variables().keys()
        config = settings.load(plain)
        assert config.vision.runner == "kubernetes"
        mounts = {mount["name"]: mount["mountPath"] for mount in values["volumeMounts"]}
        assert (str(config.store), str(config.landing)) == (mounts["store"], mounts["landing"])

    def test_the_values_set_options_that_airflow_has(self, values):
        from airflow.configuration import conf

        options = [each["name"].split("__")[1:] for each in values["env"] if each["name"].startswith("AIRFLOW__")]
        assert options
        assert [option for option in options if not conf.has_option(*map(str.lower, option))] == []

    def test_each_worker_has_the_passfile_of_its_duties_and_the_champions_is_of_one(self, values):
        ordinary = values["workers"]["celery"]
        (governance,) = ordinary["sets"]
        names = {}
        for worker in (ordinary, governance):
            (volume,) = worker["extraVolumes"]
            names[worker["queue"]] = volume["secret"]["secretName"]
            assert worker["command"][2].startswith("install -m 600 /secrets/pgpass /tmp/pgpass")
        assert names == {"default,gpu": "strandline-worker", GOVERNANCE: "strandline-governance"}
        assert {"name": "PGPASSFILE", "value": "/tmp/pgpass"} in values["env"]

    def test_the_values_hold_no_secret(self, values):
        assert "@" not in settings.load({each["name"]: each["value"] for each in values["env"]}).database_url
        secret = re.compile("PASSWORD|SECRET|FERNET|TOKEN|AIRFLOW__.*URL|CONN")
        given = [*values["env"], *values["migrateDatabaseJob"]["env"]]
        assert [each["name"] for each in given if secret.search(each["name"]) and "value" in each] == []

    def test_the_values_give_the_migration_what_it_needs(self, values):
        program = values["migrateDatabaseJob"]["args"][1].removeprefix("/opt/strandline/")
        needed = re.findall(r'_needed\("(STRANDLINE_\w+)"\)', (settings.REPOSITORY / program).read_text())
        assert needed
        assert set(needed) <= {each["name"] for each in values["migrateDatabaseJob"]["env"]}

    def test_workers_have_the_role_and_no_other(self, values):
        (account,) = (each for each in manifests("role.yaml") if each["kind"] == "ServiceAccount")
        assert values["workers"]["serviceAccount"] == {"create": False, "name": account["metadata"]["name"]}
        assert values["allowPodLaunching"] is False


def following(cluster: Cluster) -> bool:
    return ("get", "pods/log") in cluster.calls


class _once:
    """Beside the block: wait until `when`, then do `then`."""

    def __init__(self, when: Callable[[], bool], then: Callable[[], Any]) -> None:
        self.thread = threading.Thread(target=self._run, args=(when, then))

    def _run(self, when: Callable[[], bool], then: Callable[[], Any]) -> None:
        give_up = time.monotonic() + 30
        while not when():
            assert time.monotonic() < give_up
            time.sleep(0.01)
        then()

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *error: object) -> None:
        self.thread.join()
