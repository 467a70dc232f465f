"""Lists as texts for Postgres."""

import pytest

from app.adapters.arrays import joined_texts, number_array


def test_text_with_the_separator_is_refused_before_it_becomes_two() -> None:
    assert joined_texts(["a", "", "b c"]) == "a\x1f\x1fb c"
    assert joined_texts([]) == ""
    for texts in (["a\x1fb"], ["a", "\x1f"], ["\x1f"]):
        with pytest.raises(ValueError, match=r"U\+001F"):
            joined_texts(texts)


def test_numbers_become_an_array_literal() -> None:
    assert number_array([]) == "{}"
    assert number_array([1, 2**53]) == "{1,9007199254740992}"
    assert number_array((0.1, -1e-300)) == "{0.1,-1e-300}"
