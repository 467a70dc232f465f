"""The words of a title, in any script."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Final

# Letters of scripts that put no spaces between words: Thai, Lao, Myanmar, Khmer, Han and Kana. Hangul has spaces.
_UNSPACED: Final = (
    r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u109d\ua9e0-\ua9fe\uaa60-\uaa7f"
    r"\u1780-\u17d3\u17d7\u17dc\u17dd\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
    r"\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
)
# Beyond Latin, Greek and Cyrillic, and the marks on their letters that NFKC leaves.
_OTHERS: Final = re.compile(r"[\u0300-\u036f\u0483-\u0489\u0530-\U0010ffff]")
_WORD: Final = re.compile(r"\w{2,}")
# Later ones, of Chakma and scripts of the past, would make the pattern four times as slow.
_LAST_MARK: Final = 0xFFFF
# Two invisible characters within words of Indian scripts and of Persian, which not everybody types.
_JOINERS: Final = re.compile(r"[\u200c\u200d]")


def words_of(title: str) -> Iterable[str]:
    """Words of two characters or more, with the marks on their letters. Where a script has no spaces, every two
    characters that follow each other, as nothing tells where a word ends.
    """
    text = unicodedata.normalize("NFKC", title)
    if not _OTHERS.search(text):
        return _WORD.findall(text)
    found: list[str] = []
    for run, word in _runs().findall(_JOINERS.sub("", text)):
        if len(word) > 1 or len(run) == 1:
            found.append(word or run)
        else:
            found += map("".join, pairwise(run))
    return found


@cache
def _runs() -> re.Pattern[str]:
    """A run of letters without spaces, or a word: `\\w` has no marks, such as the vowels of Hindi."""
    marks = "".join(letter for letter in map(chr, range(_LAST_MARK + 1)) if unicodedata.category(letter)[0] == "M")
    return re.compile(rf"([{_UNSPACED}]+)|([^\W{_UNSPACED}]+(?:[{marks}]+[^\W{_UNSPACED}]*)*)")
