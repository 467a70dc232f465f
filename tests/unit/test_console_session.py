"""Sessions of the console: signed, bound to their key, and ended."""

import hashlib
import json
from pathlib import Path
from typing import Final

import pytest

from app.core import keys
from app.core.console_session import find_key, sign
from app.core.keys import KeyRing

SECRET: Final = b"s" * 32
KEY, _ = keys.make("ops", ["read", "operate"], "o" * 43)
RING: Final = KeyRing({"ops": (KEY,)})
STATIC: Final = Path(__file__).resolve().parents[2] / "app" / "console" / "static"


def test_session_is_its_keys_until_it_ends() -> None:
    value = sign(SECRET, KEY, 1000)
    assert find_key(SECRET, RING, value, 999.9) == KEY
    assert find_key(SECRET, RING, value, 1000) is None


def test_session_ends_with_its_key_or_a_change_of_its_scopes() -> None:
    value = sign(SECRET, KEY, 1000)
    rotated, _ = keys.make("ops", ["read", "operate"], "p" * 43)
    narrowed, _ = keys.make("ops", ["read"], "o" * 43)
    assert find_key(SECRET, KeyRing({}), value, 1) is None
    assert find_key(SECRET, KeyRing({"ops": (rotated,)}), value, 1) is None
    assert find_key(SECRET, KeyRing({"ops": (narrowed,)}), value, 1) is None
    assert find_key(SECRET, KeyRing({"ops": (rotated, KEY)}), value, 1) == KEY


@pytest.mark.parametrize("value", ["", "ops", "ops.", "ops.1000.", "ops.x.y", "ops.²000.y", "ops.1000.ü", "." * 50])
def test_forged_session_is_nobodys(value: str) -> None:
    assert find_key(SECRET, RING, value, 1) is None
    name, end, signature = sign(SECRET, KEY, 1000).split(".")
    assert find_key(SECRET, RING, f"{name}.{int(end) + 1}.{signature}", 1) is None
    assert find_key(b"t" * 32, RING, f"{name}.{end}.{signature}", 1) is None


def test_vendored_files_are_those_of_the_release_that_is_named() -> None:
    named = json.loads((STATIC / "vendor" / "vendored.json").read_text())
    assert sorted(named) == sorted(path.name for path in (STATIC / "vendor").glob("*.mjs"))
    for name, origin in named.items():
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == origin["sha256"]
        assert (STATIC / "vendor" / origin["licence_file"]).is_file()
