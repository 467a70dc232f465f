"""`reco dev`, and the script that leads a newcomer to it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from app.devstack import processes
from app.devstack.folder import Folder
from app.devstack.ports import choose
from tests.support.service import ROOT, eventually


@pytest.mark.shows("reco dev")
def test_dev_runs_the_service_on_its_own_servers_and_ends_them(tmp_path: Path) -> None:
    port = choose()
    with _dev(_own_servers(tmp_path), "--port", str(port)) as (process, screen):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            eventually(lambda: _ready(client), 60, screen.read_text)
            event = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "event_type": "view"}
            assert client.post("/event", json=event).status_code == 202
        family = processes.family(process.pid)[1:]
        assert len(family) > 3
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not [member for member in family if processes.runs(member)]
    for shown in (f"http://127.0.0.1:{port}/docs", "postgresql://reco:", "redis://:", str(tmp_path / "data" / "logs")):
        assert shown in screen.read_text()


def children_of(pid: int, name: str) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # some have ended
            if name in child.name():
                found.append(child)
    return found


@pytest.mark.slow
def test_server_that_dies_is_named_and_started_again(tmp_path: Path) -> None:
    port = choose()
    with _dev(_own_servers(tmp_path), "--port", str(port)) as (process, screen):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            eventually(lambda: _ready(client), 60, screen.read_text)
            (redis,) = children_of(process.pid, "redis-server")
            redis.kill()
            eventually(lambda: "redis runs again" in screen.read_text(), 30, screen.read_text)
            eventually(lambda: client.get("/readyz").json()["status"] == "ready", 30, screen.read_text)
        assert "redis has ended; starting it again" in screen.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_demo_banner_names_the_docs_and_an_item_that_has_neighbours(tmp_path: Path) -> None:
    port = choose()
    api = httpx.Client(base_url=f"http://127.0.0.1:{port}")
    with _dev(_own_servers(tmp_path), "--demo", "--port", str(port)) as (_, screen), api as client:
        eventually(lambda: _ready(client), 240, screen.read_text)  # after the demo is counted
        shown = screen.read_text()
        assert client.get("/docs").status_code == 200
        assert f"http://127.0.0.1:{port}/docs" in shown
        (event,) = re.findall(r"-d '(\{.*\})'", shown)
        assert client.post("/event", content=event, headers={"content-type": "application/json"}).status_code == 202
        (item_id,) = re.findall(r'"item_id":"([^"]+)"', event)
        eventually(lambda: client.get(f"/similar/{item_id}").json()["items"], 30, screen.read_text)


@pytest.mark.slow
def test_without_kafkas_jars_events_still_reach_the_recommendations(tmp_path: Path) -> None:
    port = choose()
    offline = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "REQUESTS_CA_BUNDLE": str(tmp_path / "none")}
    environment = {**_own_servers(tmp_path), **offline}
    api = httpx.Client(base_url=f"http://127.0.0.1:{port}")
    with _dev(environment, "--port", str(port)) as (_, screen), api as client:
        eventually(lambda: _ready(client), 60, screen.read_text)
        event = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "event_type": "view"}
        assert client.post("/event", json=event).status_code == 202
        eventually(lambda: client.get("/popular").json()["items"], 60, screen.read_text)
    assert "mock cluster takes its place" in screen.read_text()


@pytest.mark.slow
def test_a_sigterm_while_the_servers_start_leaves_none_behind(tmp_path: Path) -> None:
    with _dev(_own_servers(tmp_path), "--port", str(choose())) as (process, screen):
        run = tmp_path / "data" / "run"
        eventually(lambda: run.exists() and any(run.iterdir()), 30, screen.read_text)
        family = processes.family(process.pid)[1:]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not [member for member in family if processes.runs(member)]


@pytest.mark.slow
def test_a_taken_default_port_gives_way_and_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    del environment["HTTP_PORT"]
    with _occupied(8080), _dev(environment, data=tmp_path) as (_, screen):
        said = r"Port 8080 is taken: the API listens on (\d+)"
        (port,) = eventually(lambda: re.findall(said, screen.read_text()), 30, screen.read_text)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            eventually(lambda: _ready(client), 60, screen.read_text)


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_taken_port_that_was_asked_for_is_an_error(environment: dict[str, str], tmp_path: Path, way: str) -> None:
    port = choose()
    asked = ("--port", str(port)) if way == "option" else ()
    environment["HTTP_PORT"] = str(port)
    with socket.create_server(("127.0.0.1", port)), _dev(environment, *asked, data=tmp_path) as (process, screen):
        assert process.wait(30) == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in screen.read_text()
    assert not (tmp_path / "state.json").exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [("old 3.9.2", "python3 is 3.9.2"), ("bare", "has no venv module"), (None, "none was found")],
)
def test_without_a_fitting_python_the_script_says_what_to_install(
    tmp_path: Path, answer: str | None, said: str
) -> None:
    for tool in ("sh", "dirname"):
        found = next(Path(folder) / tool for folder in ("/bin", "/usr/bin") if (Path(folder) / tool).exists())
        (tmp_path / tool).symlink_to(found)
    if answer is not None:
        python = tmp_path / "python3"
        python.write_text(f"#!/bin/sh\necho {answer}\n")
        python.chmod(0o755)
    ended = subprocess.run(
        [ROOT / "scripts" / "dev"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "PYTHON=" in ended.stderr


@contextmanager
def _dev(
    environment: Mapping[str, str], *arguments: str, data: Path | None = None
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """`reco dev`, and the file that holds what it shows."""
    folder = {} if data is None else {"RECO_DATA_DIR": str(data)}
    screen = Path(environment.get("RECO_DATA_DIR") or str(data)).with_suffix(".screen")
    command = [sys.executable, "-m", "app.cli", "dev", *arguments]
    with screen.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), **environment, **folder},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, screen
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(30)
        # As root some of it may lie outside the folder that pytest removes.
        data_folder = Folder(screen.with_suffix(""))
        data_folder.open()
        data_folder.remove()


def _own_servers(tmp_path: Path) -> dict[str, str]:
    return {"RECO_DATA_DIR": str(tmp_path / "data"), "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", "")}


@contextmanager
def _occupied(port: int) -> Iterator[None]:
    """By us, or by whoever has it already."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError:
        yield
        return
    with listener:
        yield


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
