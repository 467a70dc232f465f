"""Trace ids, and what the consumer says of them."""

import logging
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.core.traces import trace_id
from tests.support.pipeline import message
from workers import traces
from workers.applied import Applied
from workers.incoming import Incoming, read_record
from workers.traces import LateFeatures

NOW_MS = 1_767_225_600_000
HEX = st.text("0123456789abcdef", min_size=32, max_size=32).filter(lambda text: set(text) != {"0"})


@given(HEX, st.booleans())
def test_a_trace_id_is_the_second_field(found: str, as_bytes: bool) -> None:
    text = f"00-{found}-00f067aa0ba902b7-01"
    assert trace_id(text.encode() if as_bytes else text) == found


@pytest.mark.parametrize(
    "text",
    [None, "", "00-aa-bb-01", f"00-{0:032}-00f067aa0ba902b7-01", f"00-{'G' * 32}-00f067aa0ba902b7-01", b"\xff" * 55],
)
def test_an_invalid_traceparent_has_no_trace_id(text: str | bytes | None) -> None:
    assert trace_id(text) is None


def test_late_events_are_logged_with_the_traces_of_the_slowest() -> None:
    batch = [incoming(number, late_ms=1000 + 100 * number) for number in range(10)] + [incoming(99, late_ms=0)]
    late = LateFeatures()
    with capture_logs() as lines:
        late.add(batch, now_ms=NOW_MS)
        late.add([], now_ms=NOW_MS + 100)
    assert lines == [
        {
            "event": "features_late",
            "log_level": "info",
            "late": 9,  # the first is exactly in time
            "of": 11,
            "batches": 1,
            "slowest_ms": 1900,
            "trace_ids": [trace(number) for number in (9, 8, 7, 6, 5)],
        }
    ]


def test_late_batches_in_a_row_are_one_line() -> None:
    late = LateFeatures()
    with capture_logs() as lines:
        for number in range(10):
            late.add([incoming(number, late_ms=90_000 + number)], now_ms=NOW_MS)
        late.add([incoming(99, late_ms=0)], now_ms=NOW_MS)
        late.add([], now_ms=NOW_MS)
    assert [(line["late"], line["of"], line["batches"], line["slowest_ms"]) for line in lines] == [(10, 10, 10, 90_009)]
    assert lines[0]["trace_ids"] == [trace(number) for number in (9, 8, 7, 6, 5)]


def test_late_batches_that_go_on_are_a_line_every_half_minute() -> None:
    late = LateFeatures()
    with capture_logs() as lines:
        for second in range(62):
            late.add([incoming(second, late_ms=90_000)], now_ms=NOW_MS + 1000 * second)
    assert [line["batches"] for line in lines] == [31, 31]


def test_late_batches_soon_after_a_line_wait_for_the_next() -> None:
    late = LateFeatures()
    with capture_logs() as lines:
        for second in range(5):
            late.add([incoming(second, late_ms=90_000)], now_ms=NOW_MS + 1000 * second)
            late.add([], now_ms=NOW_MS + 1000 * second)
        late.add([], now_ms=NOW_MS + 10_000)
    assert [line["batches"] for line in lines] == [1, 4]


def test_late_batch_before_the_end_is_logged_at_the_end() -> None:
    late = LateFeatures()
    with capture_logs() as lines:
        late.add([incoming(1, late_ms=90_000)], now_ms=NOW_MS)
        late.flush(now_ms=NOW_MS)
        late.flush(now_ms=NOW_MS)
    assert len(lines) == 1


def test_a_batch_in_time_says_nothing_at_info() -> None:
    late = LateFeatures()
    with capture_logs() as lines:
        late.add([incoming(1, late_ms=900)], now_ms=NOW_MS)
        traces.log_batch([incoming(1, late_ms=900)], Applied())
        late.flush(now_ms=NOW_MS)
    assert lines == []


def test_each_batch_is_a_line_at_debug_with_a_bound_on_its_traces(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        traces.log_batch([incoming(number // 2, late_ms=0) for number in range(60)], Applied(counted=60))
    assert [(line["event"], line["messages"], line["counted"]) for line in lines] == [("batch_counted", 60, 60)]
    assert (lines[0]["trace_ids"], lines[0]["more_traces"]) == ([trace(number) for number in range(20)], 10)


def trace(number: int) -> str:
    return f"{number + 1:032x}"


def incoming(number: int, **changes: Any) -> Incoming:
    received_ms = NOW_MS - changes["late_ms"]
    value = message(f"event-{number:04d}", ts_ms=received_ms, received_ms=received_ms).encode()
    headers = (("traceparent", f"00-{trace(number)}-00f067aa0ba902b7-01".encode()),)
    record = ConsumerRecord("t", 0, number, NOW_MS, 0, b"ann", value, None, 3, len(value), headers)
    return read_record(record, topic="t")
