"""A file of secrets while it is away: said once, and over when it is back."""

import os
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from app import metrics
from app.adapters import secret_file
from app.adapters.secret_file import SecretFile
from app.core import keys


def healthy() -> float | None:
    return metrics.REGISTRY.get_sample_value("reco_api_check_status", {"scope": "keys", "check": "file"})


def test_a_missing_key_file_is_logged_once_and_read_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not through structlog, whose level and loggers belong to the process.
    log = CapturingLogger()
    monkeypatch.setattr(secret_file, "_log", log)
    monkeypatch.setattr(secret_file, "_LOOK_EVERY_SEC", 0.0)
    key, token = keys.make("shop", ["write"], "s" * 43)
    file, aside = tmp_path / "keys", tmp_path / "aside"
    file.write_text(key.entry())
    source = SecretFile(keys.parse_some, (), file, setting="API_KEYS", check="file")
    os.rename(file, aside)
    for _ in range(3):
        assert source.current().find(token) == key
    assert healthy() == 0
    os.rename(aside, file)
    assert source.current().find(token) == key
    assert healthy() == 1
    assert [call.args for call in log.calls] == [("secrets_kept",), ("secrets_read",)]
