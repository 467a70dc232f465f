"""Each preset recognises and reads a few rows in the layout of the data set (`tests/samples/presets`)."""

import shutil
from pathlib import Path

import pytest

from app.errors import UserError
from app.importing.filters import condition
from app.importing.mapping import ImportOptions
from app.importing.presets import Preset, presets
from app.importing.reader import BadRow, ItemRow, Row, detect, detect_items, read_items, read_rows
from app.importing.screen import describe

SAMPLES = Path(__file__).parents[1] / "samples" / "presets"
NOW = 1_800_000_000_000

EVENTS: dict[str, list[str]] = {
    "movielens": ["1 1 view", "2 318 view"],
    "movielens-1m": ["1 1193 view", "2 1357 view"],
    "movielens-100k": ["186 302 view", "22 377 view"],
    "retailrocket": ["257597 355908 view", "992329 248676 view", "599528 356475 purchase"],
    "yoochoose-clicks": ["1 214536502 view", "1 214536500 view", "2 214662742 view"],
    "yoochoose-buys": ["420374 214537888 purchase", "420374 214537850 purchase"],
    "diginetica-views": ["1 81766 view", "1 31331 view", "138 32118 view"],
    "diginetica-purchases": ["18278 25911 purchase", "186 44321 purchase"],
    "otto": ["0 1517085 click", "0 1563459 view", "0 1309446 purchase"],
    "otto-table": ["12899779 59625 click", "12899779 1142000 view", "12899780 582732 purchase"],
    "rees46": ["541312140 44600062 view", "541312140 1004856 view", "541312140 1004856 purchase"],
    "taobao": ["1 2268318 view", "1 2333346 purchase", "2 2576651 view", "2 3830808 click"],
    "taobao-mobile": ["98047837 232431562 view", "97726136 383583590 click", "98607707 64749712 purchase"],
    "instacart": ["1 196 purchase", "1 14084 purchase", "1 10258 purchase"],
    "hm": [
        "000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318 0663713001 purchase",
        "00007d2de826758b65a93dd24ce629ed66842531df6699338c5570910a014cc2 0505221004 purchase",
    ],
    "amazon-2014": ["A2SUAM1J3GNN3B 0000013714 purchase"],
    "amazon-2014-ratings": ["A3AF8FFZAZYNE5 0000000078 purchase"],
    "amazon-2023": ["AGKHLEW2SOWHNMFQIJGBECAF7INQ B00YQ6X8EO purchase"],
    "lastfm-1k": ["user_000001 f7c1f8f8-b935-45ed-8fc8-7def69d92a10 view"],
    "goodreads": ["8842281e1d1347389f2ab93d60773d4d 130580 view"],
    "online-retail": ["17850 85123A purchase", "536414 22139 purchase"],
    "online-retail-2": ["13085 85048 purchase"],
    "shopify-orders": ["ann@example.com FERN-1 purchase", "ann@example.com Mug purchase"],
    "woocommerce-orders": ["john.doe@example.com 93 purchase", "john.doe@example.com 22 purchase"],
    "ga4": ["1026454.4271112504 9195829 view", "u-7 9195829 purchase", "u-7 9195830 purchase"],
    "segment": ["anon-1 507f1f77 view", "u1 507f1f77 purchase", "u1 505bd76 purchase"],
    "rudderstack": ["anon-1 p1 click"],
    "snowplow": ["bc2e92ec6c204a14 P125 view", "jon.doe@email.com P125 purchase", "jon.doe@email.com P126 purchase"],
    "posthog": ["ph1 P106 view", "ph1 P106 purchase", "ph1 P107 purchase"],
    "gorse": ["zhenghaoz gorse-io:gorse click", "bob vuejs:vue view"],
    "gorse-json": ["bob vuejs:vue click", "bob d3:d3 click"],
    "metarank": ["user1 item1 purchase"],
    "reco": ["ann tent cart", "ann film watch"],
    "reco-impressions": ["ann tent impression", "ann stove impression"],
    "snowplow-tsv": [
        "bc2e92ec6c204a14 P125 view",
        "jon.doe@email.com P125 purchase",
        "jon.doe@email.com P126 purchase",
    ],
}
ITEMS: dict[str, list[tuple[str, str | None, list[str], bool]]] = {
    "movielens-movies-1m": [
        ("1", "Toy Story (1995)", ["Animation", "Children's", "Comedy"], False),
        ("73", "Misérables, Les (1995)", ["Drama", "Musical"], False),
    ],
    "movielens-movies-100k": [
        ("1", "Toy Story (1995)", ["Animation", "Children", "Comedy"], False),
        ("2", "Misérables, Les (1995)", ["Drama", "Musical"], False),
    ],
    "retailrocket-items": [("460429", None, ["1338"], False)],
    "instacart-products": [
        ("1", "Chocolate Sandwich Cookies", ["19"], False),
        ("2", "All-Seasons Salt, 12 oz", ["13"], False),
    ],
    "hm-articles": [("0108775015", "Strap top", ["Garment Upper body"], False)],
    "amazon-2023-items": [("B01CUPMQZE", "Howard LC0008 Leather Conditioner", ["Beauty", "Care"], False)],
    "goodreads-books": [("5333265", "W.C. Fields: A Life on Film", [], False)],
    "shopify-products": [
        ("FERN-1", "Fern Print", ["Print"], False),
        ("FERN-2", "Fern Print", ["Print"], False),
        ("MUG-1", "Mug", [], True),
    ],
    "woocommerce-products": [
        ("93", "Woo Single #1", ["Music", "Music > Singles"], False),
        ("94", "Woo Single #2", ["Music"], True),
    ],
    "woocommerce-products-json": [
        ("799", "Ship Your Idea", ["Clothing", "T-shirts"], False),
        ("800", "Not Yet", [], True),
    ],
    "gorse-items-json": [("vuejs:vue", "Vue.js", ["framework"], False), ("old:one", None, [], True)],
    "metarank-items": [("item1", "Nice jeans", ["jeans", "blue"], False), ("item2", "Plain", [], False)],
    "gorse-items": [
        ("vuejs:vue", "Vue.js", ["framework", "javascript"], False),
        ("old:one", "Old", ["framework"], True),
    ],
}


def sample(name: str) -> Path:
    return next(path for path in SAMPLES.iterdir() if path.stem == name)


def events(path: Path, **options: object) -> list[Row | BadRow]:
    return list(read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW))


def told(rows: list[Row | BadRow]) -> list[str]:
    return [f"{r.user_id} {r.item_id} {r.event_type}" if isinstance(r, Row) else r.reason for r in rows]


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_sample_is_recognised_and_read_as_its_preset(preset: Preset) -> None:
    path = sample(preset.name)
    if preset.items:
        catalogue = detect_items(path, ImportOptions())
        items = list(read_items(path, catalogue))
        assert [(i.item_id, i.title, i.categories, i.hidden) if isinstance(i, ItemRow) else i for i in items] == ITEMS[
            preset.name
        ]
        assert catalogue.preset == preset
    else:
        log = detect(path, ImportOptions())
        assert told(list(read_rows(path, log, latest_ms=NOW))) == EVENTS[preset.name]
        assert log.preset == preset
        assert f"--preset {preset.name}" in describe(log)


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_named_preset_reads_the_same(preset: Preset) -> None:
    if not preset.items:
        assert told(events(sample(preset.name), preset=preset.name)) == EVENTS[preset.name]


def test_options_win_over_the_preset() -> None:
    path = sample("movielens")
    assert told(events(path, where=(condition("rating<4"),), event_type="click")) == ["1 3 click"]
    assert told(events(path, columns={"item_id": "rating"})) == ["1 4 view", "2 5 view"]
    with pytest.raises(UserError, match="--event-type"):
        events(path, preset="none")


def test_family_of_a_preset_is_enough_and_another_one_is_refused() -> None:
    assert told(events(sample("movielens-100k"), preset="movielens")) == EVENTS["movielens-100k"]
    with pytest.raises(UserError, match=r"the file has other columns\. It would have:\n  ga4: event_name"):
        events(sample("movielens"), preset="ga4")
    with pytest.raises(UserError, match="--preset netflix: there are movielens"):
        events(sample("movielens"), preset="netflix")


def test_sessions_and_times_of_presets() -> None:
    def first(name: str) -> Row:
        row = events(sample(name))[0]
        assert isinstance(row, Row)
        return row

    assert first("posthog").session_id == "s1"
    assert first("woocommerce-orders").session_id == "727"
    assert first("diginetica-views").ts_ms == 1_462_752_000_000 + 526_309
    assert first("online-retail").ts_ms == 1_291_191_960_000  # 1 December, and not 12 January
    assert first("shopify-orders").ts_ms == 1_705_332_153_000
    assert first("instacart").ts_ms == 1_451_635_200_001


def test_instacart_without_its_orders_says_which_file_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "order_products__prior.csv"
    shutil.copy(sample("instacart"), path)
    with pytest.raises(UserError, match=r"orders.csv is missing: .* put it beside this file"):
        events(path)
