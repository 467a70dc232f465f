"""The words of a title, in scripts with marks on letters and in those without spaces between words."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.content import terms_of
from app.core.title_words import words_of


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("A red tent, 2 m", ["red", "tent"]),
        ("हिन्दी की किताब", ["हिन्दी", "की", "किताब"]),
        ("كِتَابٌ جَدِيد", ["كِتَابٌ", "جَدِيد"]),
        ("เต็นท์", ["เต", "ต็", "็น", "นท", "ท์"]),
        ("红色帐篷", ["红色", "色帐", "帐篷"]),
        ("茶 iPhone15手机壳", ["茶", "iPhone15", "手机", "机壳"]),
        ("電動ドリル・セット", ["電動", "動ド", "ドリ", "リル", "セッ", "ット"]),
        ("ﾄﾞﾘﾙ", ["ドリ", "リル"]),
        ("빨간 텐트", ["빨간", "텐트"]),
        ("Kaffee für 2", ["Kaffee", "für"]),
    ],
)
def test_words_of_a_title(title: str, words: list[str]) -> None:
    assert [*words_of(title)] == words
    assert [*words_of(unicodedata.normalize("NFD", title))] == words


def test_composed_and_decomposed_letters_are_one_word() -> None:
    assert terms_of("Caf\u00e9", (), ()) == terms_of("Cafe\u0301", (), ())
    assert [*words_of("Cafe\u0301")] == ["Caf\u00e9"]


def test_invisible_joiners_make_no_other_word() -> None:
    assert [*words_of("می\u200cخواهم")] == [*words_of("میخواهم")]


@given(st.text(st.characters(codec="ascii")))
def test_words_of_ascii_are_the_same_beside_other_letters(title: str) -> None:
    assert [*words_of(title)] == re.findall(r"\w{2,}", title)
    assert [*words_of(f"{title} 茶")] == [*words_of(title), "茶"]
