"""How long after its acknowledgement an event shows in `GET /reco`.

Some events of the steady load are marked: a new user clicks a popular item. From the acknowledgement on, the user's
recommendations are polled until one of them is there *because* of that item. The time of that answer counts, so the
measurement includes one read and at most one pause between two polls.
"""

import asyncio
import time
from typing import Final

import msgspec
from msgspec import Struct

from app.core.events import Click
from app.load.client import Caller
from app.load.loops import LoopCounts
from app.load.requests import Endpoint, RequestSource, SentEvents, Singles, reco_path, template

_PAUSE_SEC: Final = 0.01
_GIVE_UP_SEC: Final = 10.0
_MAX_WATCHED: Final = 256


class _Item(Struct):
    because: list[str] = []


class _Recommended(Struct):
    items: list[_Item]


_decoder: Final = msgspec.json.Decoder(_Recommended)


def reflects(body: bytes, item_id: str) -> bool:
    """True when the answer of `GET /reco?explain=true` has an item because of `item_id`."""
    return any(item_id in item.because for item in _decoder.decode(body).items)


class Marked:
    """A source that hands out another's requests, every `every`-th replaced by a marked event."""

    def __init__(
        self, endpoint: Endpoint, plain: RequestSource, history: SentEvents, items: list[str], every: int
    ) -> None:
        self._endpoint = endpoint
        self._plain = plain
        self._history = history
        self._items = items
        self._every = every
        self._turn = 0
        self._singles: dict[int, tuple[Singles, str, str]] = {}
        self._caller = Caller(endpoint, timeout_sec=_GIVE_UP_SEC)
        self._watches: set[asyncio.Task[None]] = set()
        self.visible = LoopCounts()

    def next(self) -> tuple[bytes, int] | None:
        self._turn += 1
        if self._turn % self._every or len(self._singles) >= _MAX_WATCHED:
            return self._plain.next()
        number = len(self._history.states)
        user_id = "fresh-" + self._history.event_id(number).decode()
        item_id = self._items[self._turn // self._every % len(self._items)]
        event = Click(user_id=user_id, session_id=user_id, item_id=item_id)
        single = Singles(self._endpoint, [template(event)], self._history)
        self._singles[number] = single, user_id, item_id
        return single.next()

    def settle(self, token: int, status: int, body: bytes) -> tuple[int, str | None]:
        marked = self._singles.get(token)
        if marked is None:
            return self._plain.settle(token, status, body)
        single, user_id, item_id = marked
        good, complaint = single.settle(token, status, body)
        if good:
            watch = asyncio.ensure_future(self._watch(token, user_id, item_id, time.perf_counter()))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)
        else:
            del self._singles[token]
        return good, complaint

    async def finish(self) -> None:
        """Waits until the marked events are seen, or given up."""
        await asyncio.gather(*self._watches)
        self._caller.close()

    async def _watch(self, token: int, user_id: str, item_id: str, acknowledged_at: float) -> None:
        path = reco_path(user_id, 20) + "&explain=true"
        while (now := time.perf_counter()) < acknowledged_at + _GIVE_UP_SEC:
            status, body = await self._caller.get(path)
            now = time.perf_counter()
            if status != 200:
                self.visible.complain(f"GET /reco: {status or body.decode(errors='replace')}", body)
            elif reflects(body, item_id):
                self.visible.add(now, now - acknowledged_at, 1, None, b"")
                break
            await asyncio.sleep(_PAUSE_SEC)
        else:
            self.visible.add(now, now - acknowledged_at, 0, f"not visible after {_GIVE_UP_SEC:g} s", b"")
        del self._singles[token]
