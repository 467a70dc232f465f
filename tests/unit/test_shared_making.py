import asyncio
import time
from itertools import count

from app.http.shared_making import SharedMaking

_CLOCK_SEC = 0.002  # by which the loop's timers may be early


async def test_all_who_ask_before_it_begins_get_the_same_one() -> None:
    numbers = count()
    making = SharedMaking(lambda: next(numbers))
    assert await asyncio.gather(*(making.result() for _ in range(100))) == [0] * 100


async def test_what_is_asked_for_after_it_has_begun_is_made_anew() -> None:
    numbers = count()
    making = SharedMaking(lambda: next(numbers))
    assert [await making.result() for _ in range(3)] == [0, 1, 2]


async def test_others_get_it_when_one_who_asked_has_left() -> None:
    making = SharedMaking(lambda: 1)
    one, other = asyncio.create_task(making.result()), asyncio.create_task(making.result())
    await asyncio.sleep(0)
    one.cancel()
    assert await other == 1


async def test_failure_reaches_all_who_asked_and_the_next_is_made() -> None:
    results = iter([ValueError, 1])

    def make() -> object:
        made = next(results)
        if made is ValueError:
            raise ValueError
        return made

    making = SharedMaking(make)
    for result in await asyncio.gather(making.result(), making.result(), return_exceptions=True):
        assert isinstance(result, ValueError)
    assert await making.result() == 1


async def test_making_rests_for_four_times_as_long_as_it_took() -> None:
    begun: list[float] = []

    def make() -> None:
        begun.append(time.monotonic())
        time.sleep(0.02)

    making = SharedMaking(make)
    await making.result()
    await making.result()
    assert begun[1] - begun[0] >= 5 * 0.02 - _CLOCK_SEC
