"""Dates with the name of the month in one of the languages that shops in Europe write: brings it into English."""

import re
import unicodedata
from typing import Final

# Each language from January on, as in a date; a language that has several spellings has several words for a month.
_NAMES: Final = (
    "january february march april may june july august september october november december",
    "januar februar marz april mai juni juli august september oktober november dezember",
    "janner feber mrz april mai juni juli august september oktober november dezember",
    "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "enero febrero marzo abril mayo junio julio agosto setiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "januari februari mars april maj juni juli augusti september oktober november december",
    "januar februar marts april mai juni juli august september oktober november desember",
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia wrzesnia pazdziernika listopada grudnia",
    "ocak subat mart nisan mayıs haziran temmuz agustos eylul ekim kasım aralık",
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
)
_SHORTEST: Final = 3
_ENGLISH: Final = tuple(name[:_SHORTEST].title() for name in _NAMES[0].split())
_WORD: Final = re.compile(r"[^\W\d_]+")
_BEFORE: Final = re.compile(r"^[^\W\d_]+(?:-feira)?\.?,? (?=\d)")
_BETWEEN: Final = re.compile(r"(?<=\d)(?:\.|er|e|º|ª)? (?:de |d')?(?=[A-Z])|(?<=[a-z]) (?:de |del )(?=\d{4})")
_BEHIND: Final = re.compile(r"(?<=\d{4}) ?(?:г\.?|р\.?)(?=,? |$)")


def with_english_month(text: str) -> str:
    """The text with its month as `%b` reads it, without a weekday before it and the small words around it; a text with
    no month that is known comes back as it is.
    """
    found = [(word, month) for word in _WORD.finditer(text) if (month := _known(_plain(word[0]))) is not None]
    if not found:
        return text
    word, month = found[-1]  # before it may be a weekday that is short for a month, too, as the French `mar.` is
    end = word.end() + (text[word.end() : word.end() + 1] == ".")
    text = f"{text[: word.start()]}{month}{text[end:]}"
    text = text if word.start() == 0 else _BEFORE.sub("", text)
    return _BEHIND.sub("", _BETWEEN.sub(" ", text))


def _known(word: str) -> str | None:
    """The month of which all names that begin so are; None where there is none, or more than one."""
    if word in _BY_NAME:
        return _BY_NAME[word]
    found = {name for start, name in _BY_NAME.items() if start.startswith(word)} if len(word) >= _SHORTEST else set()
    return found.pop() if len(found) == 1 else None


def _plain(word: str) -> str:
    """In small letters, without accents."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(letter)
    )


_BY_NAME: Final = {
    _plain(word): english for names in _NAMES for word, english in zip(names.split(), _ENGLISH, strict=True)
}
