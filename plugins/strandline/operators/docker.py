"""The runner of machines with a Docker Engine: a vision command in a container that can do nothing else.

Airflow's own DockerOperator knows neither dropped capabilities nor a read-only root nor a hard CPU limit, and keeps
all that a container prints in memory; so this one takes its connection from the provider and talks to the engine
itself.
"""

import contextlib
import datetime
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import docker.types
import requests.exceptions
from airflow.providers.docker.hooks.docker import DockerHook
from airflow.sdk.exceptions import AirflowException
from docker.api.client import APIClient

import strandline_contract as contract
from strandline import settings
from strandline.errors import PermanentError
from strandline.operators import cards
from strandline.operators.vision import (
    ATTEMPT,
    COMMAND,
    LANDING,
    RUN,
    SCRATCH,
    SCRATCH_BYTES,
    SHARD,
    STORE,
    VisionOperator,
    container_user,
    cores,
    image_by_digest,
    mounts_environment,
    on_gpu,
)

PIDS, OPEN_FILES = 256, 1024
ENGINE_PATIENCE = 60  # seconds that the engine may take to answer
GRACE = 60  # seconds after its deadline from which a container counts as an orphan
DEADLINE = "strandline.deadline"
OURS = {"label": [RUN, DEADLINE]}


class HardenedDockerOperator(VisionOperator):
    """No network, no capabilities, no new privileges, a read-only root, a user that is not root, and limits on memory,
    CPU, processes, log and time. Of the store it can write the attempt's folder alone.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._client: APIClient | None = None
        self._container: str | None = None

    def run(self, config: settings.Settings, folder: Path, run_id: str) -> None:
        self._client = connect(config)
        if orphans := remove_orphans(self._client):
            self.log.warning("removed containers that outlived their tasks: %s", ", ".join(orphans))
        self.image = self._present_image(config)
        labels = self._labels(config, folder, run_id)
        self._remove_stale_attempts(labels)
        with self._own_card(config) as card:
            self._container = self._create(config, folder, labels, card)
            try:
                self._client.start(self._container)
                last = self.stream_logs(self._lines())
                state = self._ended()
                # A log that is followed may lose its end.
                last = self._client.logs(self._container, tail=1).decode("utf-8", "backslashreplace").strip() or last
            finally:
                self.on_kill()
        code, how = state["ExitCode"], f"ended with exit code {state['ExitCode']}"
        if state["OOMKilled"]:
            how = f"ran out of memory: STRANDLINE_TASK_MEMORY_BYTES allows {config.vision.memory_bytes:,} bytes"
        elif code == 137:
            how = f"was killed, by a person, the engine or its deadline of {config.vision.timeout_minutes:g} minutes"
        self.check_exit_code(code, how, last)

    def on_kill(self) -> None:
        if self._client and self._container:
            remove(self._client, self._container)
            self._container = None

    @classmethod
    def remove_orphans(cls, config: settings.Settings) -> list[str]:
        return remove_orphans(connect(config))

    def _present_image(self, config: settings.Settings) -> str:
        """The digest of the image, once the engine has it."""
        assert self._client
        image = image_by_digest(config)
        try:
            return str(self._client.inspect_image(image)["Id"])
        except docker.errors.ImageNotFound as error:
            if image.startswith("sha256:"):
                raise PermanentError(
                    f"the Docker Engine of this host has no image {image}: run `make images` on it, or name an image "
                    "that it can pull, as name@sha256:..."
                ) from error
        self.log.info("pulling %s", image)
        self._client.pull(image)
        return str(self._client.inspect_image(image)["Id"])

    @contextlib.contextmanager
    def _own_card(self, config: settings.Settings) -> Iterator[int | None]:
        """Hold one of the host's cards, if the request is for a GPU. All tasks of a worker see the same folder."""
        if not on_gpu(self.request):
            yield None
            return
        with cards.one_card(Path(tempfile.gettempdir()), config.vision.gpus) as card:
            self.log.info("on card %d of this host", card)
            yield card

    def _labels(self, config: settings.Settings, folder: Path, run_id: str) -> dict[str, str]:
        deadline = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=config.vision.timeout_minutes)
        return {
            RUN: run_id,
            SHARD: str(self.request["shard_id"]),
            COMMAND: self.vision_command,
            ATTEMPT: folder.name,
            DEADLINE: deadline.isoformat(timespec="seconds"),
        }

    def _remove_stale_attempts(self, labels: dict[str, str]) -> None:
        """Containers of earlier attempts at the same: their task is dead, and nobody will read what they write."""
        assert self._client
        same = [f"{name}={labels[name]}" for name in (RUN, SHARD, COMMAND)]
        for stale in self._client.containers(all=True, filters={"label": same}):
            self.log.warning("removing container %s, left by attempt %s", stale["Id"][:12], stale["Labels"][ATTEMPT])
            remove(self._client, stale["Id"])

    def _create(self, config: settings.Settings, folder: Path, labels: dict[str, str], card: int | None = None) -> str:
        assert self._client
        place = STORE / folder.relative_to(config.store)
        created = self._client.create_container(
            image=self.image,
            name=f"strandline-{self.vision_command}-{labels[SHARD][:12]}-{folder.name}",
            entrypoint=self._entrypoint(config),
            command=[self.vision_command, "--request", str(place / contract.REQUEST_FILE)],
            environment=mounts_environment(LANDING, STORE, home=SCRATCH),
            user="{}:{}".format(*container_user(folder)),
            labels=labels,
            host_config=host_config(self._client, config, self.request, _mounts(config, folder, place), card),
        )
        return str(created["Id"])

    def _entrypoint(self, config: settings.Settings) -> list[str]:
        """The image's own, under a deadline that holds without us, too: a container ends though its worker died."""
        return ["timeout", "--signal=KILL", str(config.vision.timeout_minutes * 60), "python", "-m", "vision"]

    def _lines(self) -> Iterator[str]:
        assert self._client
        rest = b""
        for chunk in self._client.logs(self._container, stream=True, follow=True):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode("utf-8", "backslashreplace") for line in lines)
            rest = rest[-100_000:]  # a line without an end
        if rest:
            yield rest.decode("utf-8", "backslashreplace")

    def _ended(self) -> dict[str, Any]:
        """The container's state, once it is over."""
        assert self._client
        while True:
            # The engine's answer may get lost, and then never comes: it is asked again.
            with contextlib.suppress(requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
                self._client.wait(self._container, timeout=ENGINE_PATIENCE)
            try:
                state: dict[str, Any] = self._client.inspect_container(self._container)["State"]
            except docker.errors.NotFound as error:
                raise AirflowException("the container was removed while it ran") from error
            if state["Status"] in ("exited", "dead"):
                return state


def connect(config: settings.Settings) -> APIClient:
    """The Docker Engine of the settings."""
    tls = config.vision.docker_tls
    return DockerHook(
        docker_conn_id=None,
        base_url=config.vision.docker_url,
        version="auto",
        tls=DockerHook.construct_tls_config(str(tls / "ca.pem"), str(tls / "cert.pem"), str(tls / "key.pem"))
        if tls
        else None,
        timeout=ENGINE_PATIENCE,
    ).api_client


def host_config(
    client: APIClient,
    config: settings.Settings,
    request: dict[str, Any],
    mounts: list[docker.types.Mount],
    card: int | None = None,
) -> dict[str, Any]:
    """All that bounds a container; `tests/docker/policy.json` holds it, too. `card` is the one that it is given."""
    gpus = None if card is None else [docker.types.DeviceRequest(device_ids=[str(card)], capabilities=[["gpu"]])]
    host: dict[str, Any] = client.create_host_config(
        mounts=mounts,
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        read_only=True,
        tmpfs={str(SCRATCH): f"rw,noexec,nosuid,nodev,size={SCRATCH_BYTES}"},
        mem_limit=config.vision.memory_bytes,
        memswap_limit=config.vision.memory_bytes,
        nano_cpus=min(cores(request), os.cpu_count() or 1) * 10**9,
        pids_limit=PIDS,
        ulimits=[
            docker.types.Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
            docker.types.Ulimit(name="core", soft=0, hard=0),
            docker.types.Ulimit(name="fsize", soft=config.vision.attempt_bytes, hard=config.vision.attempt_bytes),
        ],
        init=True,
        device_requests=gpus,
        log_config=docker.types.LogConfig(type="json-file", config={"max-size": "10m", "max-file": "2"}),
    )
    return host


def remove(client: APIClient, container: str) -> None:
    """Kill and remove a container; nothing happens if it is gone, or going."""
    try:
        client.remove_container(container, force=True, v=True)
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        if error.status_code != 409:  # its removal is in progress
            raise
    _wait_until_gone(client, container)


def remove_orphans(client: APIClient) -> list[str]:
    """Remove each container of ours that is past its deadline: its task is dead. Returns their names."""
    late = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=GRACE)
    orphans = [
        found
        for found in client.containers(all=True, filters=OURS)
        if datetime.datetime.fromisoformat(found["Labels"][DEADLINE]) < late
    ]
    for orphan in orphans:
        remove(client, orphan["Id"])
    return [orphan["Names"][0].removeprefix("/") for orphan in orphans]


def _wait_until_gone(client: APIClient, container: str) -> None:
    give_up = time.monotonic() + ENGINE_PATIENCE
    while client.containers(all=True, filters={"id": container}):
        if time.monotonic() > give_up:
            raise AirflowException(f"the Docker Engine does not remove container {container[:12]}: restart the engine")
        time.sleep(0.1)


def _mounts(config: settings.Settings, folder: Path, place: Path) -> list[docker.types.Mount]:
    """The landing zone, if it is a folder, and the store, read-only, and the attempt's folder: as the engine's host
    knows them.
    """
    store = config.vision.store_on_host or config.store
    landing = config.vision.landing_on_host or config.landing
    zone = [docker.types.Mount(str(LANDING), str(landing), type="bind", read_only=True)]
    return [
        *(zone if isinstance(landing, Path) else []),
        docker.types.Mount(str(STORE), str(store), type="bind", read_only=True),
        docker.types.Mount(str(place), str(store / folder.relative_to(config.store)), type="bind"),
    ]
