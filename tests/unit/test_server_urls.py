"""A URL is either read by every driver as it is meant, or refused by the setting's name; a password is never shown."""

import ssl
import subprocess
import sys
from urllib.parse import quote, unquote

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from app.adapters.redis_client import open_redis
from app.cli import main
from app.core.database_url import check_database_url, for_libpq, parse
from app.core.redis_url import SentinelAddress, ServerAddress, address_of, check_redis_url
from app.errors import UserError
from app.settings import Settings

MINIMUM = {"DATABASE_URL": "postgresql://reco@localhost/reco", "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092"}
COMMANDS = (["doctor"], ["migrate"], ["migrate", "--check"], ["outbox", "list"], ["dlq", "list"], ["load"], ["serve"])
# What makes a part of a password look like another part of the URL.
TRICKY = (
    *("s3cret/h0rse", "s3cret#h0rse", "s3cret?h0rse", "12/h0rse", "12?h0rse", "s3cret@h0rse", "s3cret[h0rse"),
    *(
        "s3cret]",
        "s3cret%h0rse",
        "h0rse%",
        "h0rse%00",
        "s3cret h0rse",
        "s3cret\x00h0rse",
        "s3cret\uff03h0rse",
        "h0rse\n",
    ),
)
passwords = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def with_password(password: str) -> dict[str, str]:
    return {
        **MINIMUM,
        "DATABASE_URL": f"postgresql://ann:{password}@db.example:5432/reco",
        "ONLINE_CACHE_REDIS_URL": f"redis://ann:{password}@cache.example:6379/0",
    }


def read(password: str) -> Settings | str:
    """The settings, or why they are refused."""
    try:
        return Settings.from_env(with_password(password))
    except UserError as error:
        return str(error)


def password_for_redis(url: str) -> object:
    return open_redis(check_redis_url(url), timeout_sec=1.0).connection_pool.connection_kwargs["password"]


@given(st.sampled_from(TRICKY) | passwords)
def test_password_as_it_is_reaches_every_driver_or_is_refused_unseen(password: str) -> None:
    settings = read(password)
    if isinstance(settings, str):
        assert settings == read("a/b")  # the same words for every password tell nothing of any
        assert "DATABASE_URL=(hidden)" in settings
        assert "ONLINE_CACHE_REDIS_URL=(hidden)" in settings
        return
    assert conninfo_to_dict(settings.database_url)["password"] == unquote(password)
    assert password_for_redis(settings.online_cache_redis_url) == unquote(password)
    address = parse(settings.database_url)
    assert [str(host) for host in address.hosts] == ["db.example:5432"]
    assert address.password == unquote(password)


@given(passwords.filter(lambda text: "\x00" not in text))
def test_encoded_password_reaches_every_driver(password: str) -> None:
    encoded = quote(password, safe="")
    url = check_database_url(f"postgresql://ann:{encoded}@db.example:5432/reco")
    assert conninfo_to_dict(url)["password"] == parse(url).password == password
    assert password_for_redis(f"redis://:{encoded}@cache.example/0") == password


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reco@localhost/reco",
        "postgres://localhost",
        "postgresql:///reco?host=/var/run/postgresql",
        "postgresql://reco:a:b@[::1]:5432/reco?sslmode=require",
        "postgresql://reco:p@first:5432,second:5432/reco?target_session_attrs=read-write",
    ],
)
def test_urls_of_every_shape_are_taken(url: str) -> None:
    assert check_database_url(url) == url


HOSTS = (
    "db.example",
    "[::1]:6432",
    "a,b:7,c",
    "a:1,[::1]:2",
    "[::1]:1,[::2]:2",
    "[::1],b",
    "%2Frun%2Fpg:6",
    "",
    "?host=x,y&port=7",
    "?host=%2Frun",
)


@pytest.mark.parametrize("netloc", HOSTS)
def test_hosts_are_those_that_libpq_reads(netloc: str) -> None:
    place, mark, query = netloc.partition("?")
    url = f"postgresql://{place}/reco{mark}{query}"
    theirs = conninfo_to_dict(url)
    ours = parse(url)
    names = [name or "localhost" for name in str(theirs.get("host", "localhost")).split(",")]
    ports = [int(port or 5432) for port in str(theirs.get("port", "")).split(",")] * len(names)
    if netloc:
        assert [(at.host, at.port) for at in ours.hosts] == list(zip(names, ports, strict=False))
    assert ours.database == theirs["dbname"]


def test_of_several_hosts_every_driver_wants_the_one_that_takes_writes() -> None:
    url = "postgresql://reco@a,b/reco"
    assert parse(url).session == conninfo_to_dict(for_libpq(url))["target_session_attrs"] == "read-write"
    chosen = f"{url}?target_session_attrs=any"
    assert for_libpq(chosen) == chosen
    assert parse(chosen).session == "any"
    assert parse("postgresql://reco@a/reco").session == "any"


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        ("ssl=true", "require"),
        ("ssl=true&sslmode=prefer", "require"),
        ("ssl=true&sslmode=verify-full", "verify-full"),
        ("sslmode=verify-ca&ssl=true", "verify-ca"),
    ],
)
def test_every_driver_takes_the_stronger_one_of_two_words_for_tls(query: str, mode: str) -> None:
    """As in URLs of JDBC: where a certificate is asked for, nobody may connect without one."""
    url = f"postgresql://reco@localhost/reco?{query}"
    assert parse(url).parameters["sslmode"] == conninfo_to_dict(for_libpq(url))["sslmode"] == mode


def test_every_parameter_that_is_not_usable_is_named_at_once() -> None:
    query = "sslmod=require&sslmode=no-verify&pool_size=5&schema=shop&nonsense=1&=1&port=70000&gssencmode=require"
    query += "&ssl=require&pgbouncer=true"
    with pytest.raises(ValueError, match="unknown parameter") as refused:
        check_database_url(f"postgresql://reco@localhost/reco?{query}")
    said = str(refused.value)
    for part in (
        "unknown parameter sslmod: did you mean sslmode?",
        "sslmode: expected one of disable, allow, prefer, require, verify-ca, verify-full",
        "pool_size is not supported: set DB_POOL_MAX_SIZE",
        "schema is not supported: use options=-csearch_path%3DNAME",
        "unknown parameter nonsense: remove it",
        "a parameter after the ? has no name",
        "gssencmode: expected one of disable, prefer",
        "ssl: expected true, or sslmode",
        "pgbouncer is not supported: set DATABASE_POOLER=transaction",
    ):
        assert part in said
    with pytest.raises(ValueError, match=r"leave \+asyncpg out, which names a driver"):
        check_database_url("postgresql+asyncpg://reco@localhost/reco")
    with pytest.raises(ValueError, match="port: expected a number"):
        check_database_url("postgresql://reco@localhost/reco?port=70000")
    with pytest.raises(ValueError, match="2 ports for 3 hosts"):
        check_database_url("postgresql://reco@localhost/reco?host=a,b,c&port=1,2")


def test_every_parameter_of_libpq_is_taken_or_refused_by_its_name() -> None:
    for option in Conninfo.get_defaults():
        name = option.keyword.decode()
        value = {"port": "5432"}.get(name, "require" if name in ("sslmode", "channel_binding") else "prefer")
        value = "any" if name == "target_session_attrs" else "random" if name == "load_balance_hosts" else value
        said = ""
        try:
            check_database_url(f"postgresql://reco@localhost/reco?{name}={value}")
        except ValueError as error:
            said = str(error)
        assert said == "" or f"parameter {name}" in said or f"{name}: expected" in said


@pytest.mark.parametrize("url", ["redis://h", "rediss://:p@h:1/2", "unix:///tmp/redis.sock?db=1", "redis://[::1]:6379"])
def test_redis_urls_of_every_shape_are_taken(url: str) -> None:
    assert check_redis_url(url) == url


def test_sentinels_are_those_of_the_url() -> None:
    url = "rediss+sentinel://ann:p%2Fw@a,[::1]:7/shop%2F1/2?sentinel_password=s%20p&ssl_ca_certs=/ca.pem"
    found = address_of(url)
    assert isinstance(found, SentinelAddress)
    assert found.sentinels == (("a", 26_379), ("::1", 7))
    assert (found.service, found.number, found.user, found.password) == ("shop/1", 2, "ann", "p/w")
    assert found.login == {"password": "s p"}
    assert found.tls == {"ssl_ca_certs": "/ca.pem"}
    several = address_of("redis+sentinel://[::1],[::2]:8,a/shop")
    assert isinstance(several, SentinelAddress)
    assert several.sentinels == (("::1", 26_379), ("::2", 8), ("a", 26_379))
    plain = address_of("redis+sentinel://a/shop")
    assert isinstance(plain, SentinelAddress)
    assert (plain.number, plain.password, plain.tls) == (0, None, None)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://a,b", "service/number"),
        ("redis+sentinel://a/shop/first", "service/number"),
        ("redis://h?ssl_ca_cert=/x&foo=1&protocol=2", "did you mean ssl_ca_certs.*unknown parameter foo.*RESP3"),
        ("redis://h?sentinel_password=x", "unknown parameter sentinel_password"),
        ("rediss://h?ssl_cert_reqs=yes", "ssl_cert_reqs: expected one of required, optional, none"),
        ("redis://h?=1", "has no name"),
        *((f"redis://h:{port}", "port: expected a number from 1 to 65535") for port in (0, 65_536)),
        ("redis://h?ssl_ca_certs=/x", "parameter ssl_ca_certs needs TLS: begin the URL with rediss"),
        ("unix:///x?ssl_password=x", "parameter ssl_password needs TLS: begin the URL with rediss"),
        ("redis+sentinel://h/shop?ssl_certfile=/x", "ssl_certfile needs TLS: begin the URL with rediss"),
        ("redis+cluster://h?ssl_cert_reqs=none", "ssl_cert_reqs needs TLS: begin the URL with rediss"),
        *((url, "the database is a number") for url in ("redis://h/shop", "rediss://h/1/2", "unix:///x?db=one")),
    ],
)
def test_redis_url_that_is_not_usable_says_what_is_wrong(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_redis_url(url)


@pytest.mark.parametrize("kind", ["rediss://h:1/2?", "rediss+sentinel://h:1/shop/2?"])
def test_every_kind_of_redis_has_the_tls_of_its_url(kind: str) -> None:
    """Words in any case, and a + that stays what it is."""
    url = f"{kind}ssl_ca_certs=/a+b/ca.pem&ssl_check_hostname=False&ssl_cert_reqs=Required&ssl_password=p%2B%26+w"
    pool = open_redis(check_redis_url(url), timeout_sec=1.0).connection_pool
    context = pool.make_connection().ssl_context
    assert (context.ca_certs, context.check_hostname) == ("/a+b/ca.pem", False)
    assert (context.cert_reqs, context.password) == (ssl.CERT_REQUIRED, "p+&+w")


def test_redis_is_found_where_its_url_says() -> None:
    found = address_of("redis://ann:p%2Fw@Cache.Example:7/3")
    assert isinstance(found, ServerAddress)
    assert (found.host, found.port, found.number, found.user, found.password) == ("cache.example", 7, 3, "ann", "p/w")
    socket = address_of("unix://:p%40@/run/re%20dis.sock?db=4")
    assert isinstance(socket, ServerAddress)
    assert (socket.socket, socket.number, socket.password) == ("/run/re dis.sock", 4, "p@")
    options = open_redis("unix:///run/redis.sock?db=4", timeout_sec=1.0).connection_pool.connection_kwargs
    assert (options["path"], options["db"]) == ("/run/redis.sock", 4)


def test_cache_of_several_hosts_is_refused() -> None:
    with pytest.raises(ValueError, match="one host"):
        check_redis_url("redis://a:1,b:2/0")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_DIRECT_URL", "ONLINE_CACHE_REDIS_URL"])
def test_a_command_names_the_setting_and_not_the_password(command: list[str], name: str) -> None:
    scheme = "postgresql" if name.startswith("DATABASE") else "redis"
    for password in TRICKY:
        if "\x00" in password:
            continue  # no environment variable can hold it
        environment = {**MINIMUM, name: f"{scheme}://ann:{password}@127.0.0.1:1/0"}
        result = CliRunner(env=environment).invoke(main, command)
        assert isinstance(result.exception, SystemExit | UserError), result.exception
        said = f"{result.output}{result.exception}"
        assert f"{name}=(hidden)" in said
        assert not [part for part in ("s3cret", "h0rse") if part in said]


def test_process_with_an_unescaped_password_ends_and_shows_nothing_of_it() -> None:
    environment = {**MINIMUM, "DATABASE_URL": "postgresql://ann:s3cret/h0rse@127.0.0.1:1/reco"}
    ended = subprocess.run([sys.executable, "-m", "app"], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "DATABASE_URL=(hidden)" in ended.stderr
    assert "percent-encode" in ended.stderr
    assert not [part for part in ("s3cret", "h0rse") if part in ended.stdout + ended.stderr]
