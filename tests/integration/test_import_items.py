"""`reco import --items` into a real catalogue."""

import gzip
from pathlib import Path

import msgspec
import psycopg
import pytest

from app.importing.transfer import BATCH_ROWS
from tests.integration.test_import import ask, run

MOVIES = 'movieId,title,genres\n1,"Toy, Story",Animation|Comedy\n2,Heat,(no genres listed)\n'


def sums(screen: str) -> dict[str, int]:
    """The numbers of the summary by their names."""
    found = {}
    for line in screen.splitlines():
        name, _, rest = line.strip().partition("  ")
        if name in ("new", "replaced", "unchanged", "rejected", "rows read") and rest.split():
            found[name] = int(rest.split()[0].replace(",", ""))
    return found


@pytest.mark.parametrize("pack", [bytes, pytest.param(gzip.compress, marks=pytest.mark.slow)])
def test_a_catalogue_is_imported_and_a_second_run_finds_it(database_url: str, tmp_path: Path, pack: type) -> None:
    file = tmp_path / "movies.csv"
    file.write_bytes(pack(MOVIES.encode()))
    code, screen = run(database_url, "--items", file)
    assert code == 0, screen
    assert "item_id ← movieId, title ← title, categories ← genres" in screen
    assert sums(screen) == {"rows read": 2, "new": 2, "replaced": 0, "unchanged": 0, "rejected": 0}
    assert ask(database_url, "SELECT array_agg((title, categories)::text ORDER BY item_id) FROM items") == [
        '("Toy, Story","{Animation,Comedy}")',
        "(Heat,{})",
    ]
    announced = ask(database_url, "SELECT count(*) FROM feature_changes")
    code, screen = run(database_url, "--items", file)
    assert code == 0
    assert sums(screen) == {"rows read": 2, "new": 0, "replaced": 0, "unchanged": 2, "rejected": 0}
    assert ask(database_url, "SELECT count(*) FROM feature_changes") == announced == 1
    recorded = ask(
        database_url, "SELECT array_agg((actor, action, cardinality(targets), outcome)::text) FROM audit_log"
    )
    assert recorded == ['("reco import",store_items,2,"2 created, 0 replaced")']


@pytest.mark.slow
def test_a_field_without_a_column_stays_and_an_empty_value_empties(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO items (item_id, title, categories, tags, published_at, expires_at, hidden) "
            "VALUES ('2', 'Old', '{a}', '{b}', '2020-01-01', '2030-01-01', TRUE)"
        )
    file = tmp_path / "movies.csv"
    file.write_text(MOVIES)
    code, screen = run(database_url, "--items", file)
    assert (code, sums(screen)["new"], sums(screen)["replaced"]) == (0, 1, 1)
    query = "SELECT (title, categories, tags, expires_at IS NULL, hidden)::text FROM items WHERE item_id = '2'"
    assert ask(database_url, query) == "(Heat,{},{b},f,t)"
    file.write_text("movieId,tags,expires_at,hidden\n2,,,\n")
    assert run(database_url, "--items", file)[0] == 0
    assert ask(database_url, query) == "(Heat,{},{},t,f)"


def test_bad_rows_are_kept_and_of_repeated_ones_the_last_counts(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    rows = [{"sku": number, "name": f"n{number}", "tags": ["t"]} for number in range(BATCH_ROWS + 5)]
    rows += [{"sku": 3, "name": "later", "tags": "x|y"}, {"sku": 9999, "name": "a"}, {"sku": 9999, "name": "b"}]
    file.write_bytes(b"\n".join(map(msgspec.json.encode, rows)) + b'\n{"name": "no id"}\nno json\n')
    code, screen = run(database_url, "--items", file, "--strict")
    assert code == 1
    assert sums(screen) == {
        "rows read": BATCH_ROWS + 10,
        "new": BATCH_ROWS + 6,
        "replaced": 2,
        "unchanged": 0,
        "rejected": 2,
    }
    kept = (tmp_path / "items.jsonl.rejected.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["line"] for line in kept] == [BATCH_ROWS + 9, BATCH_ROWS + 10]
    assert ask(database_url, "SELECT (title, tags)::text FROM items WHERE item_id = '3'") == '(later,"{x,y}")'
    assert ask(database_url, "SELECT title FROM items WHERE item_id = '9999'") == "b"


def test_options_that_say_nothing_of_items_are_refused(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "movies.csv"
    file.write_text(MOVIES)
    code, screen = run(database_url, "--items", file, "--no-wait", "--event-type", "click")
    assert code == 2
    assert "--event-type, --no-wait: for events only" in screen
    file.write_text("colour,size\nred,1\n")
    code, screen = run(database_url, "--items", file)
    assert code == 2
    assert "--map item_id=COLUMN" in screen
    assert ask(database_url, "SELECT count(*) FROM items") == 0


@pytest.mark.slow
def test_attributes_are_declared_and_those_without_a_column_stay(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO item_attributes (name, type) VALUES ('brand', 'list'), ('price', 'number')")
        connection.execute(
            """INSERT INTO items (item_id, attributes) VALUES ('i1', '{"price": 9, "stock": 3, "brand": ["Old"]}')"""
        )
    file = tmp_path / "items.csv"
    file.write_text(
        "sku,name,brand,price,launch,image_url\ni1,A,Acme|B,,2024-05-01,https://a.example/1.jpg\ni2,B,C,dear,,\n"
    )
    options = ("--attribute", "brand", "--attribute", "price:number", "--attribute", "since:time=launch")
    code, screen = run(database_url, "--items", file, *options)
    assert code == 0, screen
    guessed = "brand (list) ← brand, price (number) ← price, since (time) ← launch, picture_url (text) ← image_url"
    assert guessed in screen
    assert "price: 'dear' is not a number" in " ".join(screen.split())
    assert ask(database_url, "SELECT array_agg(name || ' ' || type ORDER BY name) FROM item_attributes") == [
        "brand list",
        "picture_url text",
        "price number",
        "since time",
    ]
    query = "SELECT attributes::text FROM items WHERE item_id = 'i1'"
    assert msgspec.json.decode(ask(database_url, query)) == {
        "stock": 3,
        "brand": ["Acme", "B"],
        "since": {"at_ms": 1_714_521_600_000},
        "picture_url": "https://a.example/1.jpg",
    }
    assert sums(run(database_url, "--items", file, *options)[1])["unchanged"] == 1
    code, screen = run(database_url, "--items", file, "--attribute", "brand:text")
    assert code == 2
    assert "the attribute brand is declared as list, not as text" in " ".join(screen.split())
    code, screen = run(database_url, file, "--attribute", "brand")
    assert (code, "--attribute: for catalogues only" in screen) == (2, True)
