"""One timer ends every task that is late, and no other."""

import asyncio

import pytest

from app.http.deadlines import Deadlines

SOON_SEC = 0.02


async def run(deadlines: Deadlines, until: asyncio.Event) -> str:
    try:
        with deadlines.start():
            await until.wait()
    except TimeoutError:
        return "late"
    except asyncio.CancelledError:
        return "cancelled"
    return "done"


@pytest.mark.asyncio
async def test_late_tasks_are_cancelled_in_order() -> None:
    deadlines, never, now = Deadlines(SOON_SEC), asyncio.Event(), asyncio.Event()
    now.set()
    assert await asyncio.gather(run(deadlines, now), run(deadlines, never), run(deadlines, never)) == [
        "done",
        "late",
        "late",
    ]
    assert await asyncio.create_task(run(deadlines, never)) == "late"
    assert await asyncio.create_task(run(deadlines, now)) == "done"


@pytest.mark.asyncio
async def test_a_task_cancelled_from_outside_is_not_late() -> None:
    deadlines, never = Deadlines(60.0), asyncio.Event()
    task = asyncio.create_task(run(deadlines, never))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cancelled"


@pytest.mark.asyncio
async def test_a_lifted_task_is_in_time_and_the_others_are_not() -> None:
    deadlines, never = Deadlines(SOON_SEC), asyncio.Event()
    other = asyncio.create_task(run(deadlines, never))
    with deadlines.start() as deadline:
        deadline.lift()
        assert await other == "late"
        await asyncio.sleep(0)  # one more chance for its own cancellation
    assert await asyncio.create_task(run(deadlines, never)) == "late"
