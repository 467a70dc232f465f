"""A URL is either read by every driver as it is meant, or refused by the setting's name; a password is never shown."""

import subprocess
import sys
from urllib.parse import quote, unquote

import pytest
import redis
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from app.cli import main
from app.core.server_urls import check_database_url, check_redis_url, hosts
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


@given(st.sampled_from(TRICKY) | passwords)
def test_password_as_it_is_reaches_every_driver_or_is_refused_unseen(password: str) -> None:
    settings = read(password)
    if isinstance(settings, str):
        assert settings == read("a/b")  # the same words for every password tell nothing of any
        assert "DATABASE_URL=(hidden)" in settings
        assert "ONLINE_CACHE_REDIS_URL=(hidden)" in settings
        return
    assert conninfo_to_dict(settings.database_url)["password"] == unquote(password)
    pool = redis.ConnectionPool.from_url(settings.online_cache_redis_url)
    assert pool.connection_kwargs["password"] == unquote(password)
    assert hosts(settings.database_url) == ["db.example"]


@given(passwords.filter(lambda text: "\x00" not in text))
def test_encoded_password_reaches_every_driver(password: str) -> None:
    encoded = quote(password, safe="")
    url = check_database_url(f"postgresql://ann:{encoded}@db.example:5432/reco")
    assert conninfo_to_dict(url)["password"] == password
    pool = redis.ConnectionPool.from_url(check_redis_url(f"redis://:{encoded}@cache.example/0"))
    assert pool.connection_kwargs["password"] == password


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


@pytest.mark.parametrize("url", ["redis://h", "rediss://:p@h:1/2", "unix:///tmp/redis.sock?db=1", "redis://[::1]:6379"])
def test_redis_urls_of_every_shape_are_taken(url: str) -> None:
    assert check_redis_url(url) == url


def test_cache_of_several_hosts_is_refused() -> None:
    with pytest.raises(ValueError, match="one host"):
        check_redis_url("redis://a:1,b:2/0")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["DATABASE_URL", "ONLINE_CACHE_REDIS_URL"])
def test_a_command_names_the_setting_and_not_the_password(command: list[str], name: str) -> None:
    scheme = "postgresql" if name == "DATABASE_URL" else "redis"
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
