"""What several calls of Gorse's API take and answer."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar.types import Scope
from msgspec import Meta, Struct

from app.core.decoding import InvalidInput
from app.core.events import PRINTABLE, Id
from app.core.field_errors import FieldError
from app.core.keys import Scope as KeyScope
from app.core.recommendation import RecommendedItem
from app.http import schema
from app.http.path_ids import path_ids
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError

MAX_PLACES = 200
_Count = Annotated[int, Meta(ge=1, le=1_000)]
# As an id of the catalogue's, or nothing: clients write `category=` for all items.
_Category = Annotated[str, Meta(max_length=128, pattern=PRINTABLE)]


class Success(Struct, rename="pascal"):
    """The answer to a change."""

    row_affected: int


class GorseScore(Struct, rename="pascal"):
    id: str
    score: float


class PageQuery(Struct, frozen=True, kw_only=True):
    """Parameters of a list by pages. gorsejs writes `Cursor`, PyGorse and the server `cursor`."""

    n: _Count = 10
    cursor: str = ""
    Cursor: str = ""
    q: str = ""

    @property
    def after(self) -> str:
        return self.cursor or self.Cursor


class PlacesQuery(Struct, frozen=True, kw_only=True, rename=lambda name: name.replace("_", "-")):
    """Parameters of a list of items."""

    n: _Count = 10
    offset: Annotated[int, Meta(ge=0)] = 0
    category: frozenset[_Category] = frozenset()
    user_id: Id | None = None
    write_back_type: str = ""


class Places(Struct, frozen=True):
    """`until` items from the place `offset`; `category`: of the path or of the query."""

    offset: int
    until: int
    category: str | None
    user_id: str | None
    write_back: bool


def places_of(scope: Scope) -> Places:
    """Raises `InvalidInput`."""
    query = schema.query_of(scope, PlacesQuery)
    categories = {name for name in (path_ids(scope).get("category", ""), *query.category) if name}
    faults = []
    if len(categories) > 1:
        faults.append(FieldError("$.category", "a list is of one category; several at once are not supported"))
    if query.n + query.offset > MAX_PLACES:
        faults.append(FieldError("$.n", f"n and offset together are at most {MAX_PLACES}"))
    if faults:
        raise InvalidInput(*faults)
    category = next(iter(categories), None)
    return Places(query.offset, query.offset + query.n, category, query.user_id, bool(query.write_back_type))


def scores_of(items: Sequence[RecommendedItem]) -> list[GorseScore]:
    return [GorseScore(item.item_id, item.score) for item in items]


def gorse_call(needs: KeyScope) -> dict[str, Any]:
    """The description of a call: its scope, and that it is not in our document."""
    return schema.call(needs=needs, tag="gorse", answers={}, documented=False, foreign=True)


def not_supported(what: str) -> ProblemError:
    return ProblemError(ProblemCode.NOT_SUPPORTED, what)
