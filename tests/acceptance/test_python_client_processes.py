"""`clients/python` in processes that end without closing it: what waits is sent, each event once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

import psycopg
import pytest

from app.core import keys
from tests.support.service import ROOT, Service, running

KEY, TOKEN = keys.make("shop", ["write"], "w" * 43)

# What an application does, whose last events wait in the buffer when it ends.
PROGRAM: Final = """\
import multiprocessing, os, sys
from reco_client import Client, Options, View
client = Client(sys.argv[1], sys.argv[2], Options(interval_sec=60, exit_sec=30))
def send(user, count=50):
    for number in range(count):
        client.send(View(user_id=user, session_id="s1", item_id=f"{user}-{number}"))
def child():
    send("child of multiprocessing")
send("parent")
if (pid := os.fork()) == 0:
    send("forked child")
    sys.exit()
os.waitpid(pid, 0)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
send("parent after the fork")
"""

# One that leaves its client for asyncio open. From Python 3.12 on, no thread starts once the process ends.
PROGRAM_OF_ASYNCIO: Final = """\
import asyncio, atexit, sys, threading
from reco_client import AsyncClient, Options, View
async def main():
    client = AsyncClient(sys.argv[1], sys.argv[2], Options(interval_sec=60, exit_sec=30))
    for number in range(2_050):
        client.send(View(user_id="left", session_id="s1", item_id=f"item-{number}"))
def refuse(thread):
    raise RuntimeError("can't create new thread at interpreter shutdown")
def end():
    threading.Thread.start = refuse
asyncio.run(main())
atexit.register(end)
"""

# A client that a child makes, by each way to make children; and one that was there before.
PROGRAM_OF_CHILDREN: Final = """\
import asyncio, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from reco_client import AsyncClient, Client, Options, View
def made(kind):
    return kind(sys.argv[1], sys.argv[2], Options(interval_sec=60, exit_sec=30))
def child(kind, user):
    send(made(kind), user)
def send(client, user):
    async def main(): client.send(View(user_id=user, session_id="s1", item_id="tent"))
    asyncio.run(main())
def run(process):
    process.start(), process.join()
if __name__ == "__main__":
    for method in ("fork", "forkserver", "spawn"):
        context = multiprocessing.get_context(method)
        for kind in (Client, AsyncClient):
            name = f"{method} {kind.__name__}"
            run(context.Process(target=child, args=(kind, f"{name} Process")))
            pool = context.Pool(1)
            pool.apply(child, (kind, f"{name} Pool"))
            pool.close(), pool.join()
            with ProcessPoolExecutor(1, context) as executor:
                executor.submit(child, kind, f"{name} Executor").result()
    client = made(AsyncClient)
    send(client, "parent")
    run(multiprocessing.get_context("fork").Process(target=send, args=(client, "before the fork")))
    if (pid := os.fork()) == 0: sys.exit(client.counts.waiting)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture
def service(environment: dict[str, str]) -> Iterator[Service]:
    with running(environment | {"API_KEYS": KEY.entry()}) as service:
        yield service


def stored(service: Service) -> dict[str, int]:
    """How many events each user has."""
    with psycopg.connect(service.environment["DATABASE_URL"]) as database:
        return dict(database.execute("SELECT user_id, count(*) FROM events GROUP BY user_id").fetchall())


def run(service: Service, program: Path, source: str) -> None:
    """Runs an application, which says nothing."""
    program.write_text(source)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "clients" / "python")}
    ended = subprocess.run(
        [sys.executable, program, service.url, TOKEN],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_buffer_of_asyncio_is_sent_when_the_process_ends(service: Service, tmp_path: Path) -> None:
    run(service, tmp_path / "program.py", PROGRAM_OF_ASYNCIO)
    assert stored(service) == {"left": 2_050}


def test_buffers_are_sent_when_processes_end_forked_ones_too(service: Service, tmp_path: Path) -> None:
    run(service, tmp_path / "program.py", PROGRAM)
    assert stored(service) == {
        "parent": 50,
        "forked child": 50,
        "child of multiprocessing": 50,
        "parent after the fork": 50,
    }


def test_clients_that_children_make_send_what_waits(service: Service, tmp_path: Path) -> None:
    run(service, tmp_path / "program.py", PROGRAM_OF_CHILDREN)
    made = product(("fork", "forkserver", "spawn"), ("Client", "AsyncClient"), ("Process", "Pool", "Executor"))
    assert stored(service) == dict.fromkeys([*map(" ".join, made), "parent", "before the fork"], 1)
