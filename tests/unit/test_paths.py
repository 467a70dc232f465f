"""An id in a path is decoded once and reaches its handler unchanged, whatever it holds."""

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.decoding import InvalidInput
from app.core.events import PRINTABLE
from app.http.context import RequestContext
from app.http.path_ids import path_faults, path_id, path_ids
from app.http.paths import Paths

PATHS = Paths(
    ["/", "/metrics", "/items", "/items/{item_id:path}", "/users/{user_id:path}", "/users/{user_id:path}/recent"]
)

ids = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=128),
    st.text("/.%2F#?-+ab\\", min_size=1, max_size=12),
).filter(lambda text: re.search(PRINTABLE, text) is not None)


def resolve(raw_path: str) -> tuple[bool, dict]:
    scope = scope_of(raw_path)
    return PATHS.resolve(scope), scope


def scope_of(raw_path: str) -> dict:
    state = {"reco": RequestContext({})}
    return {"raw_path": raw_path.encode(), "query_string": b"", "path": "as decoded by the server", "state": state}


@given(ids, st.sampled_from(["items", "users"]), st.sampled_from(["", "/", "/.-~"]))
def test_any_printable_id_reaches_itself(name: str, kind: str, left_as_it_is: str) -> None:
    found, scope = resolve(f"/{kind}/{quote(name, safe=left_as_it_is)}")
    assert found
    assert path_id(scope) == name
    assert scope["path"] == f"/{kind}/-"


@given(ids)
def test_an_id_with_every_byte_encoded_reaches_itself(name: str) -> None:
    _, scope = resolve("/users/" + "".join(f"%{byte:02x}" for byte in name.encode()))
    assert path_id(scope) == name


@given(ids, st.sampled_from(["", "/", "/.-~"]))
def test_any_printable_id_reaches_itself_before_the_end_of_a_path(name: str, left_as_it_is: str) -> None:
    found, scope = resolve(f"/users/{quote(name, safe=left_as_it_is)}/recent")
    assert found
    assert path_id(scope) == name
    assert scope["path"] == "/users/-/recent"


@pytest.mark.parametrize("path", ["/users/recent", "/users/a%2Frecent", "/users/%2Frecent", "/items/a/recent"])
def test_an_id_that_reads_like_the_end_of_a_path_reaches_itself_where_it_is_encoded(path: str) -> None:
    _, scope = resolve(path)
    assert path_id(scope) == unquote(path).split("/", 2)[2]
    assert scope["path"] == f"/{path.split('/')[1]}/-"


@pytest.mark.parametrize("path", ["", "//", "/metrics/", "//metrics", "/%6detrics", "/users"])
def test_another_spelling_of_a_path_leads_nowhere(path: str) -> None:
    assert not resolve(path)[0]


@pytest.mark.parametrize("path", ["/", "/metrics", "/items"])
def test_a_plain_path_stays_as_it_is(path: str) -> None:
    assert resolve(path)[0]


@pytest.mark.parametrize("path", ["/users/", "/users//recent", "/users/" + "a" * 129, "/users/a%00b"])
def test_an_id_that_no_event_could_have_is_refused(path: str) -> None:
    _, scope = resolve(path)
    with pytest.raises(InvalidInput):
        path_id(scope)


def test_an_id_that_is_not_utf_8_is_refused() -> None:
    _, scope = resolve("/users/%FF")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        path_id(scope)


@pytest.mark.parametrize("end", ["%", "%2", "%2g", "%%20", "100%!"])
def test_a_percent_sign_that_begins_no_escape_is_refused(end: str) -> None:
    _, scope = resolve(f"/users/bob{end}")
    with pytest.raises(InvalidInput, match="%25"):
        path_id(scope)


def test_an_id_with_a_version_before_it_reaches_itself() -> None:
    scope = scope_of("/v1/users/a%2Fb/recent")
    assert Paths(["/metrics"], versioned=["/users/{user_id:path}/recent"]).resolve(scope)
    assert path_id(scope) == "a/b"
    assert scope["path"] == "/users/-/recent"


GORSE = Paths(["/api/items", "/api/item/{item_id:str}", "/api/item/{item_id:str}/category/{category:str}"])


@given(ids, ids, st.sampled_from(["", "/"]))
def test_ids_between_slashes_reach_themselves(item_id: str, category: str, end: str) -> None:
    raw = f"/api/item/{quote(item_id, safe='')}/category/{quote(category, safe='')}{end}"
    scope = {"raw_path": raw.encode(), "path": "as decoded by the server", "state": {}}
    assert GORSE.resolve(scope)
    assert path_ids(scope) == {"item_id": item_id, "category": category}
    assert scope["path"] == "/api/item/-/category/-"


@pytest.mark.parametrize(
    "path", ["/api", "/api/item", "/api/item/", "/api/item//category/a", "/api/item/a/b", "//api/items"]
)
def test_a_path_with_other_segments_leads_nowhere(path: str) -> None:
    assert not GORSE.resolve({"raw_path": path.encode(), "path": path, "state": {}})


def test_all_ids_of_a_path_that_are_wrong_are_told() -> None:
    scope = {"raw_path": b"/api/item/%FF/category/a%00b", "path": "as decoded by the server", "state": {}}
    assert GORSE.resolve(scope)
    assert [fault.path for fault in path_faults(scope)] == ["$.item_id", "$.category"]
