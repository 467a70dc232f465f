"""The stack of compose.yaml, really run: built, brought up, worked on, taken down without a trace.

`scripts/test --compose` asks for these tests; they use the Docker engine that is there, and are skipped without one.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.compose import NEW_TAG, OLD_TAG, Compose

collect_ignore_glob = [] if os.environ.get("RECO_TEST_COMPOSE") else ["*.py"]


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    """The stack, up and healthy."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            pytest.skip(f"`{' '.join(command)}` fails: no Docker engine with the compose plugin")
    compose = Compose()
    compose.run("docker compose build", timeout_sec=900, DOCKER_BUILDKIT=os.environ.get("DOCKER_BUILDKIT", "0"))
    # Another build of the same code: what counts in a rollback is that the tag, and with it the image, is another one.
    build = f"docker build -q --build-arg VERSION={NEW_TAG} -t reco:{NEW_TAG} ."
    compose.run(build, timeout_sec=900, DOCKER_BUILDKIT=os.environ.get("DOCKER_BUILDKIT", "0"))
    try:
        compose.run("docker compose up -d", timeout_sec=300)
        compose.wait_healthy()
        yield compose
    finally:
        compose.run("docker compose down --volumes --remove-orphans", check=False)
        compose.run(f"docker image rm reco:{OLD_TAG} reco:{NEW_TAG}", check=False)
    label = f"--filter label=com.docker.compose.project={compose.project}"
    for kind in ("container ls -a", "volume ls", "network ls"):
        assert compose.run(f"docker {kind} -q {label}").split() == [], f"{kind} shows what was left behind"
