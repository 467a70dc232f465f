"""Numbers for items."""

from app.core.item_index import ItemIndex


def test_item_numbers_are_never_reused_and_have_no_bound() -> None:
    index = ItemIndex()
    assert index.number(["a", "b", "a"]).tolist() == [0, 1, 0]
    many = [f"new-{number}" for number in range(5_000)]
    numbers = index.number(many).tolist()
    assert index.number(["b", "a"]).tolist() == [1, 0]
    assert [index.ids[number] for number in numbers] == many
    assert index.find("new-1") == 3
    assert index.find("never") is None
    assert index.numbers(["never", "b", "new-0"]) == [1, 2]
