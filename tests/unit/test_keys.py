"""API keys: entries, tokens and scopes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import keys
from app.core.keys import SCOPES


def test_a_made_key_is_found_by_its_token_and_by_nothing_else() -> None:
    key, token = keys.make("shop", ["write"], "s" * 43)
    ring = keys.parse([key.entry()])
    assert ring.find(token) == key
    for other in ("", "shop", "shop.", token + "x", token[:-1], token.upper(), key.hash, key.entry(), "\udcff" + token):
        assert ring.find(other) is None


def test_the_secret_does_not_stand_in_the_entry() -> None:
    key, _ = keys.make("shop", ["write"], "very-secret")
    assert "very-secret" not in key.entry()


def test_two_keys_of_one_name_are_both_good() -> None:
    old, old_token = keys.make("shop", ["write"], "a" * 43)
    new, new_token = keys.make("shop", ["read"], "b" * 43)
    ring = keys.parse([old.entry(), "# the new one", "", f"  {new.entry()}  "])
    assert ring.find(old_token) == old
    assert ring.find(new_token) == new


def test_browser_is_the_only_scope_of_its_key() -> None:
    key, _ = keys.make("pages", ["browser"], "b" * 43)
    assert (key.is_public, key.allows("write"), key.allows("read")) == (True, False, False)
    assert not keys.make("ops", ["admin"], "a" * 43)[0].is_public
    for other in SCOPES:
        if other != "browser":
            with pytest.raises(ValueError, match="only scope"):
                keys.make("pages", ["browser", other], "b" * 43)
            with pytest.raises(ValueError, match="only scope"):
                keys.parse([key.entry().replace(":browser:", f":browser+{other}:")])


@given(st.sets(st.sampled_from([scope for scope in SCOPES if scope != "browser"]), min_size=1))
def test_scopes_survive_the_entry_and_admin_includes_the_others(scopes: set[keys.Scope]) -> None:
    key, token = keys.make("a-1_b", scopes, "c" * 43)
    found = keys.parse([key.entry()]).find(token)
    assert found is not None
    assert found.scopes == scopes
    for scope in SCOPES:
        assert found.allows(scope) == (scope in scopes or "admin" in scopes)


def test_every_bad_entry_is_named_and_none_is_repeated() -> None:
    good = keys.make("shop", ["write"], "a" * 43)[0].entry()
    bad = ["shop", "Shop:write:sha256-" + "0" * 64, "shop:writ:sha256-" + "0" * 64, "shop:write:topsecret", "a:b:c:d"]
    with pytest.raises(ValueError, match="entry 2") as caught:
        keys.parse([good, *bad])
    for number in range(2, 7):
        assert f"entry {number}:" in str(caught.value)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "Shop", "a b", "-a", "a.b", "a:b", "x" * 65])
def test_a_name_that_would_break_an_entry_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a valid key name"):
        keys.make(name, ["write"], "a" * 43)
