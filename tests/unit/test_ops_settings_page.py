"""docs/settings.md names every setting, with the default that it has, and no other."""

import re
from pathlib import Path
from typing import Final

import pytest

from app.settings import Settings

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
ROWS: Final = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`)? ?\|", PAGE, re.MULTILINE))
DEFAULTS: Final = Settings(database_url="")


def test_the_page_has_every_setting_and_no_other() -> None:
    assert set(ROWS) == {name.upper() for name in Settings.__struct_fields__}


@pytest.mark.parametrize("name", [name for name in Settings.__struct_fields__ if name not in ("role", "database_url")])
def test_a_documented_default_is_the_default_of_the_code(name: str) -> None:
    value = getattr(DEFAULTS, name)
    if isinstance(value, tuple):
        shown = ",".join(value)
    elif isinstance(value, bool):
        shown = str(value).lower()
    elif isinstance(value, float):
        shown = f"{value:g}"
    else:
        shown = str(value)
    assert ROWS[name.upper()] == shown
