"""Pages of a list: each goes on where the cursor of the one before says, without repeats."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from litestar.types import Scope
from msgspec import UNSET, Meta, UnsetType, structs

from app.core.catalogue_pages import CataloguePage
from app.core.decoding import InvalidInput
from app.core.page_cursor import MAX_LENGTH, PageCursor, read_cursor, write_cursor
from app.core.recommendation import Recommendation, RecommendationRequest
from app.http.context import route_of
from app.http.path_ids import path_ids

Cursor = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_LENGTH,
        description="`start` asks for the first of several pages; the `cursor` of an answer for the next one. An answer"
        " without a `cursor` is the last page.",
    ),
]

Rank = Callable[[RecommendationRequest], Awaitable[Recommendation]]
Rest = Callable[[RecommendationRequest, PageCursor], Awaitable[CataloguePage]]


def list_asked(scope: Scope) -> str:
    """Names the list that a call asks for: by its path, and by the item whose list it is. It is the same list whoever
    asks, since a visitor may log in between two pages.
    """
    try:
        item_id = path_ids(scope).get("item_id", "")
    except InvalidInput:
        item_id = ""  # which is refused by itself
    return f"{route_of(scope)} {item_id}"


async def page_of(
    scope: Scope, asked: str | None, request: RecommendationRequest, rank: Rank, rest: Rest | None = None
) -> tuple[Recommendation, str | UnsetType]:
    """A page and the cursor of the next one. `rank` makes a list of what was not shown; `rest` is what comes behind it.

    Without a cursor (`asked` None) the list has no pages. Raises `InvalidInput` for text that is not a cursor of the
    list that the call asks for.
    """
    if asked is None:
        return await rank(request), UNSET
    of = list_asked(scope)
    cursor = read_cursor(asked, of)
    request = structs.replace(request, shown=cursor.hashes)
    ranked: Recommendation | None = None
    if not cursor.in_catalogue:
        ranked = await rank(request)
        # A page that is short for its maximum per category is followed by those of the others.
        is_full = len(ranked.items) >= (request.k if request.max_per_category is None else 1)
        cursor = cursor.next([item.item_id for item in ranked.items], in_catalogue=not is_full)
        if is_full and (rest is not None or not cursor.in_catalogue):
            return ranked, write_cursor(cursor, of)
        if rest is None:
            return ranked, UNSET
        request = structs.replace(request, k=request.k - len(ranked.items))
    if rest is None:
        return Recommendation([], "none", ""), UNSET
    page = await rest(request, cursor)
    found = page.found
    if ranked is not None and ranked.items:
        found = Recommendation([*ranked.items, *found.items], ranked.strategy, ranked.model_version)
    return found, UNSET if page.cursor is None else write_cursor(page.cursor, of)
