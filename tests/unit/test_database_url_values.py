"""Values in the database URL: what libpq refuses is refused at the start, and what it heeds the service heeds."""

import re
import ssl
import subprocess
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from app.adapters.postgres_connect import Connector
from app.core.database_url import check_database_url, for_libpq, for_reads, parse
from tests.support.tls_front import certify


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmode=", "sslmode: expected one of disable, allow"),
        ("target_session_attrs=", "target_session_attrs: expected one of any, "),
        ("sslcertmode=foo", "sslcertmode: expected one of disable, allow, require"),
        ("sslnegotiation=foo", "sslnegotiation: expected one of postgres, direct"),
        ("sslnegotiation=direct", "sslnegotiation=direct: needs sslmode=require, verify-ca or verify-full"),
        ("ssl_min_protocol_version=TLSv1.4", "expected one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "TLSv1.3: above ssl_max"),
        ("keepalives=x", "keepalives: expected a whole number"),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system: needs sslmode=verify-full, or none"),
    ],
)
def test_values_that_libpq_refuses_are_refused_at_the_start(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_database_url(f"postgresql://reco@localhost/reco?{query}")


def test_values_that_libpq_takes_are_taken() -> None:
    for query in (
        "sslrootcert=system&sslmode=verify-full&sslnegotiation=direct&keepalives=1&tcp_user_timeout=0",
        "sslrootcert=system&ssl=true&ssl_min_protocol_version=TLSv1.2&ssl_max_protocol_version=TLSv1.3",
    ):
        url = f"postgresql://reco@localhost/reco?{query}"
        assert conninfo_to_dict(for_libpq(url))["sslmode"] == parse(url).parameters["sslmode"] == "verify-full"


@pytest.mark.parametrize("hosts", ["one", "one:5432,two:5433"])
@pytest.mark.parametrize("query", ["?", "?&", "?sslmode=require&", "?&sslmode=require&&connect_timeout=3"])
def test_parameters_without_a_name_are_left_out(hosts: str, query: str) -> None:
    url = f"postgresql://reco:pw@{hosts}/shop{query}"
    check_database_url(url)
    for given in (for_libpq(url), for_reads(url)):
        found = conninfo_to_dict(given)
        assert found["dbname"] == "shop"
        assert found.get("sslmode") == parse(url).parameters.get("sslmode")
    assert parse(for_reads(url)).session == ("prefer-standby" if "," in hosts else parse(url).session)


def revoking_nothing(folder: Path) -> Path:
    """A list of revoked certificates of the authority that `certify` made there."""
    (folder / "index").touch()
    config = folder / "ca.conf"
    config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index\ndefault_md=sha256\ndefault_crl_days=2\n")
    made = folder / "crl.pem"
    files = ["-keyfile", str(folder / "key.pem"), "-cert", str(folder / "ca.pem"), "-out", str(made)]
    subprocess.run(["openssl", "ca", "-gencrl", "-config", str(config), *files], check=True, capture_output=True)
    return made


async def test_system_authorities_leave_the_other_words_for_tls_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certify(tmp_path)
    made: list[ssl.SSLContext] = []

    async def connect(**arguments: ssl.SSLContext) -> None:
        made.append(arguments["ssl"])

    monkeypatch.setattr("asyncpg.connect", connect)
    versions = "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.3"
    query = f"sslrootcert=system&{versions}&sslcrl={revoking_nothing(tmp_path)}&sslcert={certificate}"
    url = f"postgresql://reco@localhost/reco?{query}&sslkey={tmp_path / 'key.pem'}"
    await Connector(url).connect(timeout=1.0)
    (context,) = made
    assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_CHAIN == ssl.VERIFY_CRL_CHECK_CHAIN
    assert context.cert_store_stats()["crl"] == 1
