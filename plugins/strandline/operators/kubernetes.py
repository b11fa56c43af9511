"""The runner of clusters: a vision command in a pod that can do nothing else.

Launching, following and deleting the pod are the provider's KubernetesPodOperator. Its own `execute` is not used: it
would take up the pod of an earlier attempt, which writes to that attempt's folder, and would have results come from a
sidecar.
"""

import datetime
import functools
from pathlib import Path
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodLogsConsumer, PodManager
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import ApiException, CoreV1Api
from kubernetes.client import models as k8s

import strandline_contract as contract
from strandline import settings
from strandline.errors import PermanentError
from strandline.operators.vision import (
    ATTEMPT,
    COMMAND,
    LANDING,
    LOGGED_LINES,
    RUN,
    SCRATCH,
    SCRATCH_BYTES,
    SHARD,
    STORE,
    USER,
    VisionOperator,
    container_user,
    cores,
    image_by_digest,
    mounts_environment,
    on_gpu,
)

CONTAINER = "vision"
OURS = {"app.kubernetes.io/name": "strandline-vision"}  # deploy/kubernetes/network-policy.yaml selects by it
GPU = "nvidia.com/gpu"
DISK_BYTES = 128 * 2**20  # of a node, for the log: the container can write nothing else there
READ_BYTES = 16 * 2**20  # of the log at once: a line may have no end
GRACE = 1  # seconds from asking a container to stop to killing it: it has nothing to save
ORPHAN_GRACE = datetime.timedelta(minutes=1)
POLL = 2  # seconds between two looks at a pod that is to start


class HardenedPodOperator(VisionOperator, KubernetesPodOperator):
    """No network (by the NetworkPolicy beside the Helm values), no credentials, no capabilities, no new privileges, a
    read-only root, a user that is not root, and limits on memory, CPU, disk and time. Of the store it can write the
    attempt's folder alone.
    """

    def __init__(self, **kwargs: Any) -> None:
        # For the provider, pushing to XCom means a sidecar; that is in steps of its `execute`, which do not run here.
        # How long a pod may wait for a node is bounded by the task's own timeout.
        patience = int(settings.get().vision.timeout_minutes * 60)
        given: dict[str, Any] = {
            "do_xcom_push": True,
            "base_container_name": CONTAINER,
            "container_name_log_prefix_enabled": False,
            "durable": False,
            "schedule_timeout_seconds": patience,
            "startup_timeout_seconds": patience,
            "startup_check_interval_seconds": POLL,
            "log_events_on_failure": True,
            "termination_grace_period": GRACE,
        }
        super().__init__(**given | kwargs)

    @functools.cached_property
    def pod_manager(self) -> PodManager:
        return _BoundedLogs(self.client)

    def run(self, config: settings.Settings, folder: Path, run_id: str) -> None:
        pod = self.build_pod(config, folder, run_id)
        self.image = config.vision.image.partition("@")[2]
        self.pod = pod  # what `on_kill` deletes
        try:
            self._remove_stale_attempts(pod)
            self.pod_manager.create_pod(pod)
            self.await_pod_start(pod)
            self.await_pod_completion(pod)
            ended = self.pod_manager.await_pod_completion(pod, container_name=CONTAINER)
        except ApiException as error:
            if error.status == 404:
                raise AirflowException(f"pod {pod.metadata.name} was deleted while it ran") from error
            raise AirflowException(f"the cluster refuses ({error.status} {error.reason}): {error.body}") from error
        finally:
            self.process_pod_deletion(pod, reraise=False)
        self._check_pod(ended.status, config)

    @classmethod
    def remove_orphans(cls, config: settings.Settings) -> list[str]:
        """Delete each pod that is older than a task may get: it has ended, or waits for a node that never came."""
        client = KubernetesHook().core_v1_client
        late = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=config.vision.timeout_minutes)
        orphans = [
            found
            for found in _find(client, config.vision.kubernetes_namespace, OURS)
            if found.metadata.creation_timestamp < late - ORPHAN_GRACE
        ]
        for orphan in orphans:
            PodManager(client).delete_pod(orphan)
        return [orphan.metadata.name for orphan in orphans]

    def build_pod(self, config: settings.Settings, folder: Path, run_id: str) -> k8s.V1Pod:
        """All that a pod of ours is."""
        place = folder.relative_to(config.store)
        names = {RUN: run_id, SHARD: str(self.request["shard_id"]), COMMAND: self.vision_command, ATTEMPT: folder.name}
        user, _ = container_user(folder)
        gpu = on_gpu(self.request)
        return k8s.V1Pod(
            api_version="v1",
            kind="Pod",
            metadata=k8s.V1ObjectMeta(
                name=f"strandline-{self.vision_command}-{folder.name}",
                namespace=config.vision.kubernetes_namespace,
                labels=OURS | {name: make_safe_label_value(value) for name, value in names.items()},
                annotations=names,
            ),
            spec=k8s.V1PodSpec(
                containers=[self._container(config, place)],
                volumes=[
                    *([_claim("landing", config.vision.landing_claim, read_only=True)] if _has_folder(config) else []),
                    _claim("store", config.vision.store_claim, read_only=False),
                    _memory("scratch", SCRATCH_BYTES),
                ],
                restart_policy="Never",
                active_deadline_seconds=max(1, round(config.vision.timeout_minutes * 60)),
                termination_grace_period_seconds=GRACE,
                automount_service_account_token=False,
                enable_service_links=False,
                security_context=k8s.V1PodSecurityContext(
                    run_as_non_root=True,
                    run_as_user=user,
                    run_as_group=USER,
                    # No fs_group: the attempt's folder is the user's already, and a group would be written all over
                    # the store.
                    seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
                ),
                tolerations=[k8s.V1Toleration(key=GPU, operator="Exists", effect="NoSchedule")] if gpu else None,
            ),
        )

    def _container(self, config: settings.Settings, place: Path) -> k8s.V1Container:
        own = STORE / place
        resources = _resources(config, self.request)
        environment = mounts_environment(LANDING, STORE, home=SCRATCH)
        # A pod has no such limit: the command sets it.
        environment[contract.FILE_BYTES] = str(config.vision.attempt_bytes)
        return k8s.V1Container(
            name=CONTAINER,
            image=_pullable(config),
            image_pull_policy="IfNotPresent",
            args=[self.vision_command, "--request", str(own / contract.REQUEST_FILE)],
            env=[k8s.V1EnvVar(name=name, value=value) for name, value in environment.items()],
            resources=k8s.V1ResourceRequirements(requests=resources, limits=resources),
            volume_mounts=[
                *(
                    [k8s.V1VolumeMount(name="landing", mount_path=str(LANDING), read_only=True)]
                    if _has_folder(config)
                    else []
                ),
                k8s.V1VolumeMount(name="store", mount_path=str(STORE), read_only=True),
                k8s.V1VolumeMount(name="store", mount_path=str(own), sub_path=str(place), read_only=False),
                k8s.V1VolumeMount(name="scratch", mount_path=str(SCRATCH)),
            ],
            security_context=k8s.V1SecurityContext(
                allow_privilege_escalation=False,
                capabilities=k8s.V1Capabilities(drop=["ALL"]),
                privileged=False,
                read_only_root_filesystem=True,
                run_as_non_root=True,
            ),
            # The last lines of the log become part of the pod's status, and so are known if the log was cut off.
            termination_message_policy="FallbackToLogsOnError",
        )

    def _remove_stale_attempts(self, pod: k8s.V1Pod) -> None:
        """Pods of earlier attempts at the same: their task is dead, and nobody will read what they write."""
        same = {name: pod.metadata.labels[name] for name in (RUN, SHARD, COMMAND)}
        for stale in _find(self.client, pod.metadata.namespace, OURS | same):
            self.log.warning("deleting pod %s, left by attempt %s", stale.metadata.name, stale.metadata.labels[ATTEMPT])
            self.pod_manager.delete_pod(stale)

    def _check_pod(self, status: k8s.V1PodStatus, config: settings.Settings) -> None:
        ends = [each.state.terminated for each in status.container_statuses or [] if each.name == CONTAINER]
        end = next((each for each in ends if each), None)
        code = end.exit_code if end else contract.EXIT_TEMPORARY
        if status.reason == "DeadlineExceeded":
            how = f"was stopped at its deadline of {config.vision.timeout_minutes:g} minutes"
        elif end and end.reason == "OOMKilled":
            how = f"ran out of memory: STRANDLINE_TASK_MEMORY_BYTES allows {config.vision.memory_bytes:,} bytes"
        elif status.reason or not end:
            how = f"was stopped by the cluster: {status.reason or 'no reason given'}. {status.message or ''}".rstrip()
        elif code == 137:
            how = "was killed, by a person or the cluster"
        else:
            how = f"ended with exit code {code}"
        lines = (end.message or "").splitlines() if end else []
        self.check_exit_code(code, how, lines[-1] if lines else "")


class _BoundedLogs(PodManager):
    """The provider's, with a bound to what a container can put into a task's log, and into a worker's memory."""

    lines = 0

    def read_pod_logs(self, *args: Any, **kwargs: Any) -> PodLogsConsumer:
        logs: PodLogsConsumer = super().read_pod_logs(*args, limit_bytes=READ_BYTES, **kwargs)
        return logs

    def _log_message(self, message: str, *args: Any, **kwargs: Any) -> None:
        self.lines += 1
        if self.lines <= LOGGED_LINES:
            self.log.info("%s", message.rstrip()[-2000:])
        elif self.lines == LOGGED_LINES + 1:
            self.log.warning("more lines were printed, and are not shown")


def _find(client: CoreV1Api, namespace: str, labels: dict[str, str]) -> list[k8s.V1Pod]:
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    found: list[k8s.V1Pod] = client.list_namespaced_pod(namespace, label_selector=selector).items
    return found


def _pullable(config: settings.Settings) -> str:
    image = image_by_digest(config)
    if "@" not in image:
        raise PermanentError(
            f"STRANDLINE_VISION_IMAGE is {image}, which names no registry: push the image to one that the cluster "
            "can pull from, and name it as name@sha256:..."
        )
    return image


def _resources(config: settings.Settings, request: dict[str, Any]) -> dict[str, str]:
    """What a pod is given, and not more."""
    resources = {
        "cpu": str(cores(request)),
        "memory": str(config.vision.memory_bytes),
        "ephemeral-storage": str(DISK_BYTES),
    }
    return resources | {GPU: "1"} if on_gpu(request) else resources


def _has_folder(config: settings.Settings) -> bool:
    """Whether the landing zone is one, and no bucket."""
    return isinstance(config.landing, Path)


def _claim(name: str, claim: str, read_only: bool) -> k8s.V1Volume:
    source = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=claim, read_only=read_only)
    return k8s.V1Volume(name=name, persistent_volume_claim=source)


def _memory(name: str, size: int) -> k8s.V1Volume:
    return k8s.V1Volume(name=name, empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit=str(size)))
