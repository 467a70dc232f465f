"""The parts of the API fail one by one: that part restarts, HTTP goes on, and nothing that was accepted is lost."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app import supervisor
from app.adapters import changes, ingest, outbox
from app.adapters.outbox import CHANNEL
from app.http import server, sla
from app.http.listener import bind
from app.ingest import group_commit
from app.settings import Settings
from app.supervisor import Progress
from app.wiring import Service
from tests.support.api import serving, stored, watch
from tests.support.item_sums import have_sums
from tests.support.pipeline import until


class Breakable:
    """A function that fails while it is broken, with an error that nobody foresees."""

    def __init__(self, works: Callable[..., Any]) -> None:
        self._works = works
        self.broken = False
        self.failed = asyncio.Event()

    def __call__(self, *arguments: Any) -> Any:
        if self.broken:
            self.failed.set()
            raise RuntimeError("a bug")
        return self._works(*arguments)

    def fail(self) -> None:
        self.failed.clear()
        self.broken = True


@pytest.fixture
def breakable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], Breakable]:
    def wrap(module: Any, name: str) -> Breakable:
        wrapped = Breakable(getattr(module, name))
        monkeypatch.setattr(module, name, wrapped)
        return wrapped

    return wrap


@pytest.fixture
def quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_RESTART_BASE_SEC", 0.02)
    monkeypatch.setattr(supervisor, "_RESTART_MAX_SEC", 0.05)


@pytest.fixture
def slow_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_RESTART_BASE_SEC", 30.0)
    monkeypatch.setattr(supervisor, "_RESTART_MAX_SEC", 30.0)


async def readiness(client: httpx.AsyncClient) -> dict[str, Any]:
    report: dict[str, Any] = (await client.get("/readyz")).json()
    return report


def task_is(client: httpx.AsyncClient, task: str, state: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return bool((await readiness(client))["tasks"][task]["state"] == state)

    return check


@pytest.mark.usefixtures("slow_restarts")
@pytest.mark.parametrize(
    ("task", "module", "function", "status"),
    [
        ("ingest-buffer", ingest, "insert_events", "unavailable"),
        ("ingest-notifier", outbox, "notify", "degraded"),
        ("change-feed", changes, "read", "degraded"),
        ("sla-window", sla, "take", "degraded"),
    ],
)
async def test_while_a_part_is_down_it_alone_is_and_http_answers(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    breakable: Callable[[Any, str], Breakable],
    task: str,
    module: Any,
    function: str,
    status: str,
) -> None:
    monkeypatch.setattr(sla, "_EVERY_SEC", 0.05)
    part = breakable(module, function)
    async with serving(settings) as client:
        part.fail()
        event = asyncio.create_task(client.post("/log/watch", json=watch()))
        await part.failed.wait()
        await until(task_is(client, task, "restarting"))
        report = await readiness(client)
        assert report["status"] == status
        assert report["tasks"][task]["error"] == "RuntimeError: a bug"
        states = {name: entry["state"] for name, entry in report["tasks"].items()}
        assert states == {**dict.fromkeys(states, "running"), task: "restarting"}
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/popular")).status_code == 200
        assert (await client.get("/reco?user_id=ann")).status_code == 200
        assert (await event).status_code == (503 if task == "ingest-buffer" else 202)


@pytest.mark.usefixtures("quick_restarts")
async def test_buffer_that_crashed_stores_what_waited_and_what_comes(
    settings: Settings,
    pool: asyncpg.Pool,
    breakable: Callable[[Any, str], Breakable],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "_PROBE_SEC", 60.0)  # a probe inserts too, and would be a second crash
    insert = breakable(ingest, "insert_events")
    async with serving(settings, ingest_timeout_sec=20.0) as client:
        insert.fail()
        event = watch(event_id="event-0001")
        cut_short = await client.post("/log/watch", json=event)
        assert cut_short.status_code == 503
        assert int(cut_short.headers["retry-after"]) >= 1
        insert.broken = False
        answers = await asyncio.gather(*(client.post("/log/watch", json=watch()) for _ in range(20)))
        assert [answer.status_code for answer in answers] == [202] * 20
        assert (await client.post("/log/watch", json=event)).status_code == 202
        await until(task_is(client, "ingest-buffer", "running"))
        assert (await readiness(client))["tasks"]["ingest-buffer"]["restarts"] == 1

        async def nothing_pending() -> bool:
            return "reco_ingest_pending_events 0.0" in (await client.get("/metrics")).text

        await until(nothing_pending)
    assert await stored(pool) == (21, 21)


@pytest.mark.usefixtures("slow_restarts")
async def test_without_the_buffer_events_get_503_in_time(
    settings: Settings, pool: asyncpg.Pool, breakable: Callable[[Any, str], Breakable]
) -> None:
    insert = breakable(ingest, "insert_events")
    # What ends the wait is the buffer's deadline and not that of the request.
    async with serving(settings, ingest_timeout_sec=0.2, http_request_timeout_sec=60.0) as client:
        insert.fail()
        await client.post("/log/watch", json=watch())
        answers = await asyncio.gather(*(client.post("/log/watch", json=watch()) for _ in range(20)))
        assert [answer.status_code for answer in answers] == [503] * 20
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        assert "not stored" in answers[0].json()["detail"]
    assert await stored(pool) == (0, 0)


@pytest.mark.usefixtures("quick_restarts")
async def test_notifier_that_crashed_announces_what_was_stored_meanwhile(
    settings: Settings, breakable: Callable[[Any, str], Breakable]
) -> None:
    heard = asyncio.Event()
    listener = await asyncpg.connect(settings.database_url)
    await listener.add_listener(CHANNEL, lambda *_: heard.set())
    notify = breakable(outbox, "notify")
    async with serving(settings) as client:
        notify.fail()
        assert (await client.post("/log/watch", json=watch())).status_code == 202
        await notify.failed.wait()
        assert not heard.is_set()
        notify.broken = False
        async with asyncio.timeout(20):
            await heard.wait()
    await listener.close()


@pytest.mark.usefixtures("quick_restarts")
async def test_change_feed_that_crashed_reads_what_changed_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, breakable: Callable[[Any, str], Breakable]
) -> None:
    # Without what the feed tells it the process would serve what it has for longer than the test lasts.
    changed = changes.read
    told: list[str] = []

    async def read(*arguments: Any) -> Any:
        at_sec, rows = await changed(*arguments)
        told.extend(item_id for _, item_ids in rows for item_id in item_ids)
        return at_sec, rows

    monkeypatch.setattr(changes, "read", read)
    monkeypatch.setattr("app.serving.change_feed._LOOK_BACK", 0)
    feed = breakable(changes, "read")
    async with serving(settings) as client:
        feed.fail()
        await feed.failed.wait()
        assert (await client.put("/items/alien", json={"title": "Alien"})).status_code == 201
        feed.broken = False

        async def heard() -> bool:
            return "alien" in told

        await until(heard)


async def test_drain_writes_what_waits_in_the_buffer_after_http_has_ended(
    settings: Settings, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await have_sums(pool, heat=1.0)
    insert, gate = ingest.insert_events, asyncio.Event()

    async def insert_later(*arguments: Any) -> Any:
        await gate.wait()
        return await insert(*arguments)

    monkeypatch.setattr(ingest, "insert_events", insert_later)
    settings = msgspec.structs.replace(settings, role=frozenset({"api"}))
    with bind("127.0.0.1", 0, reuse_port=False) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        service = Service(settings, listener)
        service.start()

        async def ready() -> bool:
            return service.report().ready

        async def http_has_ended() -> bool:
            return service.report().tasks["http-server"].state == "stopped"

        await until(ready)
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            # Logs an impression that no request waits for.
            shown = await client.get("/reco?user_id=ann", headers={"X-Autolog-Impressions": "true"})
            assert shown.status_code == 200
        draining = asyncio.create_task(service.drain())
        await until(http_has_ended)
        assert service.report().tasks["ingest-buffer"].state == "running"
        assert await stored(pool) == (0, 0)
        gate.set()
        assert await draining
    assert {task.state for task in service.report().tasks.values()} == {"stopped"}
    assert await stored(pool) == (1, 1)


async def test_server_that_was_cut_short_leaves_nothing_that_listens() -> None:
    async def respond(name: bytes, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        headers = [(b"content-length", str(len(name)).encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": name})

    async def first(scope: Any, receive: Any, send: Any) -> None:
        await respond(b"first", send)

    async def second(scope: Any, receive: Any, send: Any) -> None:
        await respond(b"second", send)

    with bind("127.0.0.1", 0, reuse_port=False) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        await _serve_once(listener, url, first, cut_short=True)
        answers = await _serve_once(listener, url, second, cut_short=False)
    assert set(answers) == {"second"}


async def _serve_once(listener: socket.socket, url: str, app: Any, *, cut_short: bool) -> list[str]:
    """What ten new connections are answered."""
    stop = asyncio.Event()
    serving = asyncio.create_task(server.serve(app, listener, stop, Progress(), grace_sec=0.0, drain_sec=1.0))
    answers = []
    for _ in range(10):
        async with httpx.AsyncClient(timeout=20) as client:
            answers.append((await client.get(url)).text)
    if cut_short:
        serving.cancel()
        await asyncio.wait([serving])
    else:
        stop.set()
        await serving
    return answers
