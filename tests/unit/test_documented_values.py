"""The values that docs/import.md and docs/ranking.md name are those of the code."""

import re
from pathlib import Path
from typing import Final

import pytest

from app.adapters.analytics import KEEP_DAYS
from app.core import content, content_index, learning, promotion, sampling
from app.core.history import MAX_ITEMS
from app.core.model import MODEL
from app.core.signals import CLICK_WEIGHT, PURCHASE_WEIGHT, VIEW_WEIGHT
from app.core.variants import CONSTANTS
from app.core.weights import FEATURES, SIZES
from app.importing.items import USUAL_ITEM_COLUMNS
from app.importing.mapping import EVENT_TYPES, USUAL_COLUMNS, USUAL_TYPES
from app.importing.presets import presets
from app.importing.records import REMEMBERED_ROWS
from app.importing.values import _MISSING

DOCS: Final = Path(__file__).parents[2] / "docs"
IMPORT: Final = (DOCS / "import.md").read_text()
RANKING: Final = (DOCS / "ranking.md").read_text()


def plain(names: str) -> list[str]:
    return [re.sub(r"[\W_]", "", name) for name in names.split(",")]


def rows(text: str, head: str) -> dict[str, list[str]]:
    """The cells of the table below this head, by the name in the first one."""
    table = text.partition(head)[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    return {first.strip("`"): others for first, *others in cells}


def test_usual_columns_of_events_are_documented_in_the_order_in_which_they_win() -> None:
    found = rows(IMPORT, "| field | required | usual column names | notes |")
    for field in ("user_id", "item_id", "time", "event_type", "session_id", "title", "event_id", "events", "position"):
        assert plain(found[field][1]) == [*USUAL_COLUMNS[field]], field


def test_usual_columns_of_items_are_documented_in_the_order_in_which_they_win() -> None:
    found = rows(IMPORT, "| field | usual column names | notes |")
    for field, names in USUAL_ITEM_COLUMNS.items():
        if field != "item_id":  # "those above", and three more
            assert plain(found[field][0]) == [*names], field
    assert plain(found["item_id"][0])[1:] == [*USUAL_ITEM_COLUMNS["item_id"][len(USUAL_COLUMNS["item_id"]) :]]


def test_every_preset_is_documented_with_its_conditions() -> None:
    found = rows(IMPORT, "| preset | of | with | only rows with |")
    assert found.keys() == {preset.name for preset in presets()}
    for preset in presets():
        kind, where = found[preset.name][1:3]
        assert kind == ("items" if preset.items else "events")
        wanted = "` and `".join(preset.where).replace("|", "\\|")
        assert where.strip("`").replace("\\|", "|") == wanted.replace("\\|", "|"), preset.name


def test_every_word_for_an_event_type_is_documented() -> None:
    section = IMPORT.partition("**Event types**")[2].partition("**Times**")[0]
    for word in (*USUAL_TYPES, *EVENT_TYPES):
        assert re.search(rf"\b{word}\b", section), word


def test_every_word_for_a_missing_value_is_documented() -> None:
    section = " ".join(IMPORT.partition("**Missing values**")[2].partition("\n\n")[0].split())
    for word in _MISSING:
        assert word in section, word


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (IMPORT, f"Identical rows within {REMEMBERED_ROWS:,} rows count separately."),
        (RANKING, f"A purchase weighs {PURCHASE_WEIGHT:g}, a click {CLICK_WEIGHT}, a view {VIEW_WEIGHT}"),
        (RANKING, f"keeps the {MAX_ITEMS} most recent items of each user"),
        (RANKING, f"with the {MODEL.pair_window} items before it and the {MODEL.pair_window} after it"),
        (RANKING, f"saturates at the weight of {'eight' if MODEL.user_linear == 4.0 else '?'} purchases"),
        (RANKING, f"each of the user's last {MODEL.seeds} items ({MODEL.neighbours} of the last one,"),
        (
            RANKING,
            f"{round(MODEL.neighbours * MODEL.recency ** ((MODEL.seeds - 1) / 6))} of the {MODEL.seeds}th)",
        ),
        (RANKING, f"the {MODEL.popular} most popular items by each half-life"),
        (RANKING, "one weight vector for each of four sizes of history: none, 1 or 2 items, 3 to 14, 15 and more"),
        (RANKING, f"An item with fewer than {'five' if content.COLD_EVENTS == 5 else '?'} events"),
        (RANKING, f"out of the {content_index.MAX_COLD:,} newest that may be served"),
        (RANKING, f"in the {content_index.MAX_ITEMS:,} newest items"),
        (RANKING, f"the softmax over the {learning.WITHIN_REACH} best candidates"),
        (RANKING, f"one event moves no weight by more than {learning.RATE}"),
        (RANKING, f"more than {learning.RATE * sampling.OF_ONE_USER} in any hour"),
        (RANKING, f"take {learning._OTHER_SIZES} of the gradient"),
        (RANKING, f"nothing is promoted before {promotion.LEAST_TESTS} tests"),
        (RANKING, f"The sums go back {KEEP_DAYS:g} days."),
        (RANKING, "A variant may also change " + ", ".join(f"`{name}`" for name in [*CONSTANTS][:-1])),
    ],
)
def test_documented_number_is_that_of_the_code(text: str, sentence: str) -> None:
    assert sentence in " ".join(text.split())


def test_every_feature_is_documented() -> None:
    found = rows(RANKING, "| feature | what it says of the candidate |")
    assert [name for names in found for name in plain(names.replace("`", ""))] == [
        name.replace("_", "") for name in FEATURES
    ]
    assert len(SIZES) == 4
