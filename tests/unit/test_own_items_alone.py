"""A list with `repeats=only` has the user's own items, and nothing that fills other lists."""

from tests.support.serving_store import TRYING, Store, bought, ids, pin, sources


def test_nothing_but_own_items_fills_a_list_of_own_items() -> None:
    rules = [pin("rare", 1), pin("hit", 2)]
    store = Store(
        popular=["hit", "rare"], neighbours={"hit": {}}, repeat_rate=0.5, rules=rules, pool=["new"], fallback=["plain"]
    )
    found = store.for_user(bought("hit"), repeats="only", exploration=TRYING)
    assert sources(found) == {"hit": "pinned"}
    assert ids(store.for_user(repeats="only", exploration=TRYING)) == []
