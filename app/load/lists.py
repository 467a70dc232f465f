"""A catalogue in which a filter keeps one item in a hundred, and the requests for lists of it."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from app.load.requests import Endpoint, complaint, reco_path
from app.load.workload import Population

ListKind = Literal["unfiltered", "filter", "rank"]

RANKED_ITEMS: Final = 1_000
SPARE_ITEMS: Final = 100
"""Besides the places of a list, a filter keeps at least so many: those that the user has had are left out."""

_SHELVES: Final = 100
_BATCH: Final = 1_000
# All shelves for many users, and so few that they are made at once.
_POOL: Final = 2_000
_RANK_POOL: Final = 200


class _Listed(Struct):
    items: list[msgspec.Raw]


_listed: Final = msgspec.json.Decoder(_Listed)
_encode: Final = msgspec.json.Encoder().encode


def shelves(items: int, k: int) -> int:
    """How many parts the catalogue has: 100, or fewer where a part would be too small for a list of `k`."""
    return max(1, min(_SHELVES, items // (k + SPARE_ITEMS)))


def is_full(body: bytes, least: int) -> bool:
    """True for an answer with at least `least` items."""
    return len(_listed.decode(body).items) >= least


def filtered_path(user_id: str, k: int, shelf: int) -> str:
    return f"{reco_path(user_id, k)}&filter={quote(f'shelf = {shelf}')}"


class Once:
    """Requests, each once, however they are answered."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = iter(requests)

    def next(self) -> tuple[bytes, int] | None:
        request = next(self._requests, None)
        return None if request is None else (request, 0)

    def settle(self, token: int, status: int, body: bytes) -> tuple[int, str | None]:
        return (1, None) if status in (200, 201) else (0, complaint(status, body))


class Lists:
    """Requests for lists, in turn. A list with fewer items than it should have is an error."""

    def __init__(self, endpoint: Endpoint, world: Population, kind: ListKind, k: int) -> None:
        self._least = min(RANKED_ITEMS, world.shape.items) if kind == "rank" else k
        self._all = list(self._some(endpoint, world, kind, k))
        self._requests = itertools.cycle(self._all)

    def once(self) -> Once:
        return Once(self._all)

    def _some(self, endpoint: Endpoint, world: Population, kind: ListKind, k: int) -> Iterator[bytes]:
        rng = random.Random(f"{kind}-{world.shape.seed}")
        count = shelves(world.shape.items, k)
        for _ in range(_RANK_POOL if kind == "rank" else _POOL):
            user_id = world.user_ids[world.user(rng)]
            match kind:
                case "unfiltered":
                    yield endpoint.head("GET", reco_path(user_id, k))
                case "filter":
                    yield endpoint.head("GET", filtered_path(user_id, k, rng.randrange(count)))
                case "rank":
                    items = rng.sample(world.item_ids, self._least)
                    yield _with_body(endpoint, "POST", "/rank", {"user_id": user_id, "items": items})

    def next(self) -> tuple[bytes, int]:
        return next(self._requests), 0

    def settle(self, token: int, status: int, body: bytes) -> tuple[int, str | None]:
        if status != 200:
            return 0, complaint(status, body)
        return (1, None) if is_full(body, self._least) else (0, "200, but the list is not full")


def catalogue(endpoint: Endpoint, world: Population, k: int) -> Once:
    """The requests that declare the attribute and store all items, in order."""
    count = shelves(world.shape.items, k)
    items = [
        {"item_id": item_id, "title": f"Item {item_id}", "attributes": {"shelf": number % count}}
        for number, item_id in enumerate(sorted(world.item_ids))
    ]
    batches = [{"items": items[start : start + _BATCH]} for start in range(0, len(items), _BATCH)]
    declared = _with_body(endpoint, "PUT", "/attributes/shelf", {"type": "number"})
    return Once([declared, *(_with_body(endpoint, "POST", "/items", batch) for batch in batches)])


def _with_body(endpoint: Endpoint, method: str, path: str, value: Any) -> bytes:
    body = _encode(value)
    return endpoint.head(method, path, len(body)) + body
