"""Numbers for items."""

import numpy as np

from app.core.item_index import ItemIndex


def test_items_that_are_used_keep_their_numbers() -> None:
    index = ItemIndex()
    assert index.number(["a", "b", "a"]).tolist() == [0, 1, 0]
    many = [f"new-{number}" for number in range(5_000)]
    numbers = index.number(many).tolist()
    assert index.number(["b", "a"]).tolist() == [1, 0]
    assert [index.ids[number] for number in numbers] == many
    assert index.find("new-1") == 3
    assert index.find("never") is None
    assert index.numbers(["never", "b", "new-0"]) == [1, 2]


def test_an_unused_item_leaves_and_its_number_rests_for_a_sweep() -> None:
    index = ItemIndex()
    index.number(["kept", "gone", "numbered"])
    assert index.sweep().tolist() == []  # all were numbered since the last one
    index.use(np.array([0]))
    index.number(["numbered"])
    assert index.sweep().tolist() == [1]
    assert index.find("gone") is None
    assert set(index.items) == {"kept", "numbered"}
    # An answer that is under way still finds what it had.
    assert index.ids[1] == "gone"
    assert index.number(["early"]).tolist() == [3]
    index.use(np.array([0, 2]))
    index.sweep()
    assert index.number(["late"]).tolist() == [1]
    assert index.ids[1] == "late"
    assert index.reused == [1]


def test_a_million_items_leave_room_for_as_many_as_are_used() -> None:
    index = ItemIndex()
    for start in range(0, 1_000_000, 10_000):
        index.number([f"item-{number}" for number in range(start, start + 10_000)])
        index.sweep()
    assert len(index.items) == 10_000
    # In use, at rest, and those of the last sweep.
    assert len(index.ids) <= 30_000
