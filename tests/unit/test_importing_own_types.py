"""Rows of types that the application has made, or changed, count as its events do."""

from pathlib import Path
from typing import Any, Final

import pytest

from app.core.event_types import EventType, EventTypes, RatingScale
from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows

NOW_MS: Final = 1_800_000_000_000
HEADER: Final = "user,item,ts,event,rating"


def made(name: str, number: int, weight: float, **changes: Any) -> EventType:
    own = {"meaning": "interest", "pairs": True, "ends_offer": False, **changes}
    return EventType(name=name, number=number, weight=weight, **own)


KNOWN: Final = EventTypes(
    [
        made("page_view", 16, 0.3, pairs=False),
        made("pageview2", 17, 0.5),
        made("page_view2", 18, 0.7),
        made("stars", 19, 2.0, rating_scale=RatingScale(0.0, 10.0)),
        made("like", 5, 3.0),
    ]
)


def read(path: Path, *lines: str, **options: Any) -> list[tuple[str, float | None] | str]:
    path.write_text("\n".join([HEADER, *(f"u,i,1700000000,{line}" for line in lines)]))
    found = read_rows(path, detect(path, ImportOptions(known=KNOWN, **options)), latest_ms=NOW_MS)
    return [row.reason if isinstance(row, BadRow) else said(row) for row in found]


def said(row: Row) -> tuple[str, float | None]:
    return row.event_type, None if row.counts is None else row.counts.weight


def test_own_types_are_known_by_their_names_before_usual_words(tmp_path: Path) -> None:
    found = read(
        tmp_path / "log.csv", "page_view,", "Page View,", "pageview2,", "page_view2,", "view,", "like,", "cart,"
    )
    assert found == [
        ("page_view", 0.3),
        ("page_view", 0.3),
        ("pageview2", 0.5),
        ("page_view2", 0.7),
        ("view", None),
        ("like", 3.0),
        ("view", None),
    ]


def test_types_that_are_no_text_are_read_as_without_own_types(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    line = '{"user_id":"u","item_id":"i","ts":1700000000,"event_type":%s}'
    log.write_text("\n".join(line % kind for kind in ('["view"]', '{"name":"view"}', '"view"')))
    found = list(read_rows(log, detect(log, ImportOptions(known=KNOWN)), latest_ms=NOW_MS))
    assert [type(row) for row in found] == [Row, BadRow, Row]


def test_options_and_layouts_come_before_own_types(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for given in ("page_view", "Page View"):
        assert read(log, "page_view,", "page view,", types={given: "click"}) == [("click", None)] * 2
    assert read(log, "page_view,", "view,", types={"page_view": "ignore"}) == [("view", None)]
    both = {"pageview2": "view", "page_view2": "ignore"}
    assert read(log, "page_view2,", "pageview2,", "like,", types=both) == [("view", None), ("like", 3.0)]
    assert read(log, "page_view2,", "pageview2,", types={"page_view2": "ignore"}) == [("pageview2", 0.5)]
    kept = {"pageview": "view", "page_view": "page_view"}
    assert read(log, "page_view,", "pageview,", types=kept) == [("page_view", 0.3), ("view", None)]
    odd = EventTypes([made("view_", 20, 1.0)])
    log.write_text(f"{HEADER}\nu,i,1700000000,view,\nu,i,1700000000,view_,\n")
    rows = read_rows(log, detect(log, ImportOptions(known=odd)), latest_ms=NOW_MS)
    assert [row.event_type for row in rows if isinstance(row, Row)] == ["view", "view_"]


def test_exported_types_are_those_of_the_same_name_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "event_id,event_type,user_id,session_id,ts_ms,item_id,watch_time_sec,context,received_at\n"
        + "".join(
            f"event-{kind},{kind},u,s,1700000000000,i,,,2023-11-14T22:13:20Z\n"
            for kind in ("page_view", "order", "pageview", "cart", "like")
        )
    )
    found = read_rows(log, detect(log, ImportOptions(known=KNOWN)), latest_ms=NOW_MS)
    assert [said(row) if isinstance(row, Row) else row.reason.partition(";")[0] for row in found] == [
        ("page_view", 0.3),
        "event_type: 'order' is not a known event type",
        "event_type: 'pageview' is not a known event type",
        ("cart", 0.7),
        ("like", 3.0),
    ]


def test_own_ratings_have_a_scale_of_their_own(tmp_path: Path) -> None:
    assert read(tmp_path / "log.csv", "stars,10", "stars,2.5", "stars,11", "stars,") == [
        ("stars", 2.0),
        ("stars", -1.0),
        "rating: '11' is not on the scale: an event of the type stars needs one from 0 to 10",
        "rating: missing for the type stars; say --map rating=COLUMN",
    ]


def test_options_name_own_types(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    assert read(log, "fav,", "stars,", types={"fav": "page_view", "stars": "ignore"}) == [("page_view", 0.3)]
    assert read(log, "x,10", event_type="stars") == [("stars", 2.0)]
    assert read(log, "x,10", event_type="page_view") == [("page_view", 0.3)]
    with pytest.raises(UserError) as wrong_word:
        read(log, "x,", types={"x": "wish"})
    with pytest.raises(UserError) as wrong_type:
        read(log, "x,", event_type="hop")
    known = "view, click, purchase, watch, impression, cart, like, dislike, rating, share, hide, page_view"
    assert f"--map-type x=wish: the right side must be one of {known}" in str(wrong_word.value)
    assert str(wrong_type.value).startswith(f"--event-type hop: must be one of {known}")
