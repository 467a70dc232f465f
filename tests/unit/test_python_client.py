"""`clients/python` without a service: what is sent again, what is given up, and what an application's tests see."""

import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reco_client import (
    ApiError,
    BufferFull,
    CatalogueBatchItem,
    CatalogueItemInput,
    Client,
    Counts,
    Event,
    Impression,
    Options,
    Refused,
    View,
)
from reco_client.delivery import may_be_retried, wait_sec
from reco_client.testing import Recorder

QUICK: Final = Options(interval_sec=0.01, backoff_sec=0.01, exit_sec=10)


def view(item_id: str = "tent", **changes: Any) -> View:
    return View(user_id="ann", session_id="s1", item_id=item_id, **changes)


def test_event_that_is_sent_again_keeps_its_id_and_its_time() -> None:
    recorder = Recorder()
    recorder.fail(503, times=2)
    recorder.fail(None)
    recorder.fail(429)
    with recorder.client(QUICK) as client:
        event_id = client.send(view())
        assert client.flush(10)
        assert client.counts == Counts(accepted=1)
    (event,) = recorder.events
    assert event.event_id == event_id
    assert isinstance(event.ts_ms, int)


def test_answer_that_a_retry_would_not_change_gives_the_events_up() -> None:
    refused: list[Refused] = []
    recorder = Recorder()
    recorder.fail(401)
    options = msgspec.structs.replace(QUICK, on_refused=refused.append)
    with recorder.client(options) as client:
        client.send(view("lost"))
        assert client.flush(10)
        client.send(view("kept"))
        assert client.flush(10)
        assert client.counts == Counts(accepted=1, refused=1)
    assert [event.item_id for event in events(recorder)] == ["kept"]
    assert [(one.event.event_id is not None, one.reason) for one in refused] == [
        (True, "401: The recorder was told to fail.")
    ]


def events(recorder: Recorder) -> list[View]:
    return [event for event in recorder.events if isinstance(event, View)]


def test_failing_callback_does_not_end_the_sending() -> None:
    def fail(refused: Refused) -> None:
        raise ZeroDivisionError

    recorder = Recorder()
    recorder.fail(401)
    with recorder.client(msgspec.structs.replace(QUICK, on_refused=fail)) as client:
        for _ in range(2):
            client.send(view())
            assert client.flush(10)
    assert len(recorder.events) == 1


def test_conflict_is_told_with_its_event() -> None:
    refused: list[Refused] = []
    recorder = Recorder()
    with recorder.client(msgspec.structs.replace(QUICK, on_refused=refused.append)) as client:
        for item_id in ("tent", "stove"):
            client.send(view(item_id, event_id="the-same-id", ts_ms=1))
            assert client.flush(10)
    assert [(getattr(one.event, "item_id", None), one.reason) for one in refused] == [("stove", "conflict")]


def test_full_buffer_refuses_further_events_and_close_gives_up_the_rest() -> None:
    refused: list[Refused] = []
    recorder = Recorder()
    recorder.fail(503, times=1_000, retry_after_sec=100)
    options = Options(max_buffered=2, interval_sec=0.01, exit_sec=0.05, on_refused=refused.append)
    client = recorder.client(options)
    for _ in range(2):
        client.send(view())
    with pytest.raises(BufferFull):
        client.send(view())
    client.close()
    client.close()
    assert len(refused) == 2
    with pytest.raises(RuntimeError):
        client.send(view())
    assert not [thread for thread in threading.enumerate() if thread.name == "reco-client"]


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No thread starts, as at the end of a process from Python 3.12 on. The call lets threads start again."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return monkeypatch.undo


@pytest.mark.usefixtures("no_thread")
def test_events_that_no_thread_can_send_are_sent_by_flush_and_close() -> None:
    recorder = Recorder()
    recorder.fail(503, times=2)
    client = recorder.client(QUICK)
    client.send(view("flushed"))
    assert client.flush()
    for number in range(1_100):
        client.send(view(f"item-{number}"))
    client.close()
    assert client.counts == Counts(accepted=1_101)
    assert len(recorder.events) == 1_101


@pytest.mark.usefixtures("no_thread")
def test_flush_in_its_own_thread_ends_in_time_and_close_gives_up_the_rest() -> None:
    recorder = Recorder()
    recorder.fail(503, times=1_000, retry_after_sec=100)
    client = recorder.client(Options(exit_sec=0.05))
    client.send(view())
    assert not client.flush(0.05)
    assert client.counts == Counts(waiting=1)
    client.close()
    assert client.counts == Counts(refused=1)


def test_thread_that_could_not_start_starts_with_a_later_event(no_thread: Callable[[], None]) -> None:
    recorder = Recorder()
    with recorder.client(QUICK) as client:
        client.send(view("tent"))
        no_thread()
        client.send(view("stove"))
        assert client.flush(10)
        assert [thread.name for thread in threading.enumerate() if thread.name == "reco-client"] == ["reco-client"]
    assert [event.item_id for event in events(recorder)] == ["tent", "stove"]


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (view(""), "$.item_id"),
        (view("a\nb"), "$.item_id"),
        (view(event_id="short"), "$.event_id"),
        (Impression(user_id="ann", session_id="s1", items=[]), "$.items"),
        (view(context={"a": "x" * 33_000}), "32768"),
    ],
)
def test_value_that_the_service_would_refuse_is_refused_by_send(event: Event, path: str) -> None:
    with Recorder().client() as client, pytest.raises(msgspec.ValidationError) as refused:
        client.send(event)
    assert path in str(refused.value)


def test_url_that_no_attempt_could_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="not a valid service URL"):
        Client("localhost:8080")


def test_series_is_sent_in_batches_that_fit() -> None:
    recorder = Recorder()
    recorder.fail(503, times=3)
    with recorder.client(QUICK) as client:
        counts = client.send_all(view(f"item-{number}") for number in range(2_500))
    assert counts.accepted == 2_500
    assert [event.item_id for event in events(recorder)] == [f"item-{number}" for number in range(2_500)]


async def test_client_for_asyncio_does_the_same() -> None:
    recorder = Recorder()
    recorder.recommendations["ann"] = ["stove"]
    recorder.fail(503, times=2)
    recorder.fail(None)
    async with recorder.async_client(QUICK) as client:
        client.send(view())
        assert await client.flush(10)
        assert (await client.send_all(view(f"item-{number}") for number in range(1_100))).accepted == 1_100
        client.send(view("last"))
        assert [item.item_id for item in (await client.recommend("ann")).items] == ["stove"]
        assert [item.item_id for item in (await client.recommend("ann", candidates=["stove"])).items] == ["stove"]
        assert [item.item_id for item in (await client.rank(["tent", "stove"], "ann")).items] == ["stove", "tent"]
        assert client.counts == Counts(accepted=1, waiting=1)
    assert len(recorder.events) == 1_102


async def test_closed_client_for_asyncio_gives_up_the_rest() -> None:
    refused: list[Refused] = []
    recorder = Recorder()
    recorder.fail(503, times=1_000, retry_after_sec=100)
    async with recorder.async_client(Options(interval_sec=0.01, exit_sec=0.05, on_refused=refused.append)) as client:
        client.send(view())
    assert len(refused) == 1


def test_recorder_answers_with_what_the_test_put_into_it() -> None:
    recorder = Recorder()
    recorder.similar["a/b"] = ["c"]
    recorder.popular = ["d"]
    with recorder.client(QUICK) as client:
        assert [item.item_id for item in client.similar("a/b").items] == ["c"]
        assert [item.item_id for item in client.popular(k=1, exclude=["x"]).items] == ["d"]
        assert client.put_item("..", CatalogueItemInput(title="Dots")).title == "Dots"
        assert client.put_items([CatalogueBatchItem(item_id="tent")]).created == 1
        assert set(recorder.items) == {"..", "tent"}
        client.declare_attribute("price", "number")
        assert client.patch_item("..", title="Two", attributes={"price": 2.0}).attributes == {"price": 2.0}
        assert client.patch_item("..", attributes={"price": None}).attributes == {}
        assert [item.title for item in client.list_items().items] == ["Two", None]
        assert client.list_attributes() == {"price": "number"}
        client.delete_attribute("price")
        assert client.list_attributes() == {}
        client.delete_item("..")
        with pytest.raises(ApiError) as missing:
            client.get_item("..")
        assert missing.value.status == 404
        recorder.fail(503)
        assert client.get_item("tent").item_id == "tent"
        recorder.fail(422)
        with pytest.raises(ApiError, match="told to fail"):
            client.recommend("ann")


@given(st.integers(1, 1_000), st.floats(0, 1), st.none() | st.integers(0, 300))
def test_wait_is_bounded_and_never_shorter_than_asked(failures: int, chance: float, asked: int | None) -> None:
    options = Options()
    recorder = Recorder()
    recorder.fail(503, retry_after_sec=asked or 0)
    error: Exception = ConnectionError()
    if asked is not None:
        with recorder.client(Options(call_retries=0)) as client, pytest.raises(ApiError) as refused:
            client.popular()
        error = refused.value
        assert may_be_retried(error)
    waiting = wait_sec(failures, error, chance, options)
    assert (asked or 0) <= waiting <= max(options.max_backoff_sec, (asked or 0) + options.backoff_sec)
