"""Known layouts with their columns in another case, as warehouses write them, or in another language."""

import csv
import json
from pathlib import Path
from typing import Any, Final

import pytest

from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, detect_items, read_items, read_rows

NOW_MS: Final = 1_800_000_000_000
ACTION: Final = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
PRODUCTS: Final = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
SNOWPLOW: Final[list[dict[str, Any]]] = [
    {
        "app_id": "shop",
        "collector_tstamp": "2024-03-01 10:00:02.000",
        "event": "unstruct",
        "event_id": "c6ef3124",
        "user_id": "",
        "domain_userid": "d",
        "domain_sessionid": "s",
        "derived_tstamp": "2024-03-01 10:00:01.123",
        ACTION: {"type": "transaction"},
        PRODUCTS: [{"id": "p", "name": "Cap"}, {"id": "q"}],
    },
    {
        "app_id": "shop",
        "collector_tstamp": "2024-03-01 10:00:02.000",
        "event": "page_view",
        "event_id": "c6ef3125",
        "user_id": "",
        "domain_userid": "d",
        "domain_sessionid": "s",
        "derived_tstamp": "2024-03-01 10:00:01.123",
        ACTION: None,
        PRODUCTS: None,
    },
]


def as_csv(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows:
            values = row.values()
            writer.writerow("" if v is None else json.dumps(v) if isinstance(v, dict | list) else v for v in values)


def as_json_lines(rows: list[dict[str, Any]], path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("write", [as_csv, as_json_lines])
@pytest.mark.parametrize("named", [str.upper, str.lower])
def test_snowplow_is_read_from_any_warehouse(tmp_path: Path, write: Any, named: Any) -> None:
    path = tmp_path / "log"
    write([{named(name): value for name, value in row.items()} for row in SNOWPLOW], path)
    source = detect(path, ImportOptions())
    assert source.preset is not None
    assert source.preset.name == "snowplow"
    rows = [row for row in read_rows(path, source, latest_ms=NOW_MS) if isinstance(row, Row)]
    assert [(row.user_id, row.session_id, row.item_id, row.event_type, row.title) for row in rows] == [
        ("d", "s", "p", "purchase", "Cap"),
        ("d", "s", "q", "purchase", None),
    ]
    assert {row.ts_ms for row in rows} == {1_709_287_201_123}


def test_conditions_and_rows_to_fill_follow_the_case_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("USERID,MOVIEID,RATING,TIMESTAMP\n1,2,5.0,964982703\n1,3,1.0,964982703\n")
    source = detect(path, ImportOptions())
    assert [row.item_id for row in read_rows(path, source, latest_ms=NOW_MS) if isinstance(row, Row)] == ["2"]
    path.write_text(
        "NAME,EMAIL,FINANCIAL STATUS,CREATED AT,LINEITEM NAME,LINEITEM SKU\n"
        "#1,ann@example.com,paid,2024-01-15 10:22:33 -0500,Mug,M\n#1,,,,Fern,F\n"
        "#2,bo@example.com,voided,2024-01-15 10:22:33 -0500,Fern,F\n"
    )
    rows = list(read_rows(path, detect(path, ImportOptions()), latest_ms=NOW_MS))
    assert [(row.user_id, row.item_id) for row in rows if isinstance(row, Row)] == [
        ("ann@example.com", "M"),
        ("ann@example.com", "F"),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "ID,Typ,Artikelnummer,Name,Veröffentlicht,Hervorgehoben,Sichtbarkeit im Katalog,Kategorien,Schlagwörter,Bilder",
        "ID,Type,UGS,Nom,Publié,Mis en avant ?,Visibilité dans le catalogue,Catégories,Étiquettes,Images",
        "ID,Tipo,SKU,Nombre,Publicado,¿Está destacado?,Visibilidad en el catálogo,Categorías,Etiquetas,Imágenes",
        "ID,Tipo,COD,Nome,Pubblicato,In primo piano?,Visibilità nel catalogo,Categorie,Etichette,Immagine",
        "ID,Type,Artikelnummer,Naam,Gepubliceerd,Uitgelicht?,Zichtbaarheid in catalogus,Categorieën,Tags,Afbeeldingen",
        "ID,Tipo,SKU,Nome,Publicado,Em destaque?,Visibilidade no catálogo,Categorias,Tags,Imagens",
        "ID,Typ,SKU,Nazwa,Opublikowano,Wyróżniony produkt?,Widoczność w katalogu,Kategorie,Tagi,Obrazki",
        "ID,Typ,Artikelnummer,Namn,Publicerad,Utvald?,Synlighet i katalog,Kategorier,Taggar,Bilder",
        "ID,Тип,Артикул,Имя,Опубликован,рекомендуемый?,Видимость в каталоге,Категории,Метки,Изображения",
    ],
)
def test_products_of_woocommerce_have_names_in_the_language_of_the_shop(tmp_path: Path, header: str) -> None:
    path = tmp_path / "products.csv"
    path.write_text(
        f"\ufeff{header}\n"
        '10,variable,tee,Tee,1,0,visible,"Clothing > Tees, Shoes","red, new",x\n'
        "24,variation,tee-red,Tee - Red,1,0,visible,,,\n"
        "11,simple,d,Draft,-1,0,visible,Music,,\n"
        "13,simple,h,Hidden,1,0,hidden,Music,,\n"
    )
    source = detect_items(path, ImportOptions())
    assert source.preset is not None
    assert source.preset.name == "woocommerce-products"
    items = [row for row in read_items(path, source) if not isinstance(row, BadRow)]
    assert [(item.item_id, item.title, item.hidden) for item in items] == [
        ("10", "Tee", False),
        ("11", "Draft", True),
        ("13", "Hidden", True),
    ]
    assert (items[0].categories, items[0].tags) == (["Clothing > Tees", "Shoes"], ["red", "new"])


@pytest.mark.parametrize(
    ("content", "preset", "found"),
    [
        (
            (
                "event_date,event_timestamp,event_name,user_pseudo_id,item_id,item_name\n"
                "20210131,1612069510766593,view_item,1.2,919,Tee\n20210131,1612069510766593,session_start,1.2,,\n"
            ),
            "ga4",
            [("1.2", "919", "view")],
        ),
        (
            (
                "event,timestamp,distinct_id,properties.product_id,properties.$session_id\n"
                "Product Viewed,2024-05-01T10:00:00Z,u,p,s\n$pageview,2024-05-01T10:00:00Z,u,,s\n"
            ),
            "posthog",
            [("u", "p", "view")],
        ),
        (
            (
                "messageId,anonymousId,userId,event,timestamp,properties.product_id\n"
                "m1,a,,Product Viewed,2024-05-01T10:00:00Z,p\nm2,a,,Signed Up,2024-05-01T10:00:00Z,\n"
            ),
            "segment",
            [("a", "p", "view")],
        ),
    ],
)
def test_objects_of_collectors_may_have_become_columns(
    tmp_path: Path, content: str, preset: str, found: list[tuple[str, str, str]]
) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content)
    source = detect(path, ImportOptions())
    assert source.preset is not None
    assert source.preset.name == preset
    rows = list(read_rows(path, source, latest_ms=NOW_MS))
    assert [(row.user_id, row.item_id, row.event_type) for row in rows if isinstance(row, Row)] == found
    assert len(rows) == len(found)
