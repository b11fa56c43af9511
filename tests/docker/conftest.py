"""A Docker Engine, and the images under test, built by the code behind `make images`."""

import os

import pytest

import docker
from local.build import images


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    """A client of an engine that answers; without one, tests are left out, but never in CI."""
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except docker.errors.DockerException as error:
        reason = f"no Docker Engine answers: start one, or name one by DOCKER_HOST ({error})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return client


@pytest.fixture(scope="session")
def vision_image(engine: docker.DockerClient) -> str:
    """The ID of the vision image of this checkout."""
    return images.build("vision")


@pytest.fixture(scope="session")
def airflow_image(engine: docker.DockerClient) -> str:
    """The ID of the Airflow image of this checkout."""
    return images.build("airflow")


@pytest.fixture(scope="session")
def serve_image(engine: docker.DockerClient) -> str:
    """The ID of the image of this checkout that serves."""
    return images.build("serve")
