"""Certificates that the URL of Redis names: each fault is told at the start, and nobody is asked for a password."""

import subprocess
from pathlib import Path

import pytest

from app.adapters.redis_client import open_redis
from app.errors import UserError
from app.settings import Settings
from tests.support.tls_front import certify

MINIMAL = {"DATABASE_URL": "postgresql://reco@localhost/reco", "KAFKA_BOOTSTRAP_SERVERS": "one:9092"}


def read(query: str, **others: str) -> Settings:
    return Settings.from_env({**MINIMAL, "ONLINE_CACHE_REDIS_URL": f"rediss://:secret@h:1/0?{query}", **others})


def test_certificates_that_cannot_be_read_end_the_start(tmp_path: Path) -> None:
    certificate, missing = certify(tmp_path), tmp_path / "missing.pem"
    with pytest.raises(UserError) as refused:
        read(f"ssl_ca_certs={missing}&ssl_certfile={certificate}")
    said = str(refused.value)
    assert "ONLINE_CACHE_REDIS_URL=(hidden): ssl_ca_certs: No such file or directory; expected" in said
    assert "ONLINE_CACHE_REDIS_URL=(hidden): ssl_certfile, ssl_keyfile, ssl_password: " in said
    assert "secret" not in said
    with pytest.raises(UserError, match="ssl_keyfile: needs ssl_certfile"):
        read(f"ssl_keyfile={tmp_path / 'key.pem'}")
    assert read(f"ssl_ca_certs={certificate}&ssl_certfile={certificate}&ssl_keyfile={tmp_path / 'key.pem'}")
    assert read(f"ssl_ca_certs={missing}", ONLINE_CACHE_ENABLED="false")


def test_encrypted_key_without_its_password_is_told_and_asks_nobody(tmp_path: Path) -> None:
    certificate, encrypted = certify(tmp_path), tmp_path / "encrypted.pem"
    key = ["-in", str(tmp_path / "key.pem"), "-out", str(encrypted), "-passout", "pass:hunter2"]
    subprocess.run(["openssl", "rsa", "-aes256", *key], check=True, capture_output=True)
    files = f"ssl_certfile={certificate}&ssl_keyfile={encrypted}"
    with pytest.raises(UserError, match="the password of the key if it has one"):
        read(files)
    assert read(f"{files}&ssl_password=hunter2")
    connection = open_redis(f"rediss://h:1/0?{files}", timeout_sec=1.0).connection_pool.make_connection()
    assert connection.ssl_context.password == ""  # with None, OpenSSL asks at the terminal
