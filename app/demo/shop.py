"""The demo's catalogue, derived from the lines of the invoices: nothing in it is chance.

The log has a title and a price a line. The other fields are read from the title by the tables below, or follow from the
lines: an item is in stock if it was sold lately, and arrived when it was first sold. The shop where it can be collected
is made up, by its id.
"""

import csv
import gzip
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zlib import crc32

from msgspec import Struct

from app.adapters.catalogue import StoredItem
from app.core.attributes import AttributeType, Moment, Place, StoredValue
from app.core.exploration import NEW_FOR_MS

ATTRIBUTES: Final[Mapping[str, AttributeType]] = {
    "price": "number",
    "brand": "text",
    "in stock": "flag",
    "arrived": "time",
    "materials": "list",
    "shop": "place",
    "picture_url": "text",
}

# The first category with a word of the title; plural forms are found as well.
_CATEGORIES: Final[Mapping[str, str]] = {
    "paper": "paper card wrap notebook gift ribbon sticker pencil pen tissue envelope book album journal sketchbook",
    "christmas": "christmas advent reindeer snowflake snowman santa stocking bauble nativity",
    "easter": "easter bunny chick hen",
    "candles": "candle t-light candlestick incense lantern candleholder",
    "jewellery": "necklace bracelet earring brooch ring bangle bead diamante",
    "bags": "bag purse wallet suitcase backpack tote shopper",
    "kitchen": "cake cup mug bowl plate tea teapot cutlery baking jar jam pantry kitchen tray bottle lunch apron"
    " tin spoon jug coffee cakestand dish oven egg",
    "garden": "garden parasol zinc planter watering flower herb plant bird picnic umbrella",
    "toys": "toy doll dolly game jigsaw children childs spaceboy playhouse skipping puzzle soldier tattoo",
    "party": "party bunting garland balloon birthday confetti streamer",
    "home": "clock cushion frame mirror hook drawer doormat sign knob cabinet shelf rack door photo wall hanger"
    " box storage stand chest basket bathroom soap towel",
}
OTHER: Final = "gifts"

_BRANDS: Final = (
    "retrospot", "spaceboy", "dolly", "regency", "paisley", "babushka", "skull", "woodland", "jack", "polkadot",
    "feltcraft", "gingham", "edwardian", "botanical", "circus", "charlotte", "strawberry",
)  # fmt: skip
_TAGS: Final = ("vintage", "retro", "french", "heart", "star", "rose", "mini", "jumbo", "set", "pink", "red", "blue")
_MATERIALS: Final = ("metal", "wooden", "glass", "paper", "ceramic", "zinc", "wicker", "felt", "enamel", "cotton")
_SHOPS: Final = (Place(51.51, -0.13), Place(53.48, -2.24), Place(52.52, 13.40), Place(48.86, 2.35))
_NOT_FOR_SALE: Final = frozenset({"M", "POST", "C2", "DOT"})
_SOLD_LATELY: Final = timedelta(days=60)
_OLD_ENOUGH: Final = timedelta(milliseconds=NEW_FOR_MS) + timedelta(days=7)


class Line(Struct, frozen=True):
    """A line of an invoice. `price`: pounds, of one piece."""

    at: datetime
    basket: str
    item_id: str
    quantity: int
    price: float
    title: str


def read_lines(path: Path) -> list[Line]:
    """The whole sample, in time order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [
            Line(
                datetime.fromisoformat(row["occurred_at"]),
                row["session_id"],
                row["item_id"],
                int(row["quantity"]),
                float(row["unit_price_gbp"]),
                row["title"],
            )
            for row in csv.DictReader(file)
        ]


def catalogue(lines: Iterable[Line], shift: timedelta) -> list[StoredItem]:
    """Each item of the lines, with its times moved by `shift`.

    `published_at` is the first sale, or three weeks before the last one of all: none is new enough to be tried out.
    """
    of_item: dict[str, list[Line]] = {}
    for line in lines:
        of_item.setdefault(line.item_id, []).append(line)
    end = max(line.at for sold in of_item.values() for line in sold)
    return [_item(item_id, sold, end, shift) for item_id, sold in sorted(of_item.items())]


def category_of(title: str) -> str:
    words = _words(title)
    return next((name for name, known in _CATEGORIES.items() if words & set(known.split())), OTHER)


def _item(item_id: str, sold: list[Line], end: datetime, shift: timedelta) -> StoredItem:
    title, words = sold[-1].title, _words(sold[-1].title)
    category = category_of(title)
    attributes: dict[str, StoredValue] = {
        "price": sold[-1].price,
        "in stock": sold[-1].at > end - _SOLD_LATELY,
        "arrived": Moment(_millis(sold[0].at + shift)),
        "shop": _SHOPS[crc32(item_id.encode()) % len(_SHOPS)],
        "picture_url": f"/console/pictures/{category}.svg",
    }
    if brand := next((brand for brand in _BRANDS if brand in words), None):
        attributes["brand"] = brand
    materials: list[str] = [material for material in _MATERIALS if material in words]
    if materials:
        attributes["materials"] = materials
    return StoredItem(
        item_id=item_id,
        title=title,
        categories=[category],
        tags=[tag for tag in _TAGS if tag in words],
        published_at=min(sold[0].at, end - _OLD_ENOUGH) + shift,
        expires_at=None,
        hidden=item_id in _NOT_FOR_SALE,
        attributes=attributes,
    )


def _words(title: str) -> frozenset[str]:
    found = title.lower().replace("'", " ").replace("/", " ").replace(",", " ").split()
    return frozenset(found) | frozenset(word.removesuffix("s") for word in found)


def _millis(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
