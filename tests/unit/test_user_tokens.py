"""Signed user tokens: the example of the standard, other libraries' tokens, and what is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from reco_client import sign_user_token

from app.cli import main
from app.core.user_tokens import LEEWAY_SEC, ExpiredUserToken, UserTokens, WrongUserToken, parse_secrets, sign
from app.core.visitors import PREFIX

SECRET, OTHER = "s" * 64, "o" * 72
NOW = 1_800_000_000.0
TOKENS = UserTokens((SECRET, OTHER))


def by_library(claims: dict[str, Any], secret: str = SECRET, **more: Any) -> str:
    return jwt.encode({"sub": "ann", "exp": NOW + 60, **claims}, secret, **{"algorithm": "HS256", **more})


users = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=128).filter(
    lambda user_id: not user_id.startswith(PREFIX)
)


@given(users)
def test_what_is_signed_names_its_user_here_and_in_other_libraries(user_id: str) -> None:
    token = sign(user_id, OTHER, now_sec=NOW, life_sec=60)
    assert TOKENS.user_of(token, NOW) == user_id
    read = jwt.decode(token, OTHER, algorithms=["HS256"], options={"verify_exp": False})
    assert read == {"sub": user_id, "exp": NOW + 60}
    assert TOKENS.user_of(by_library({"sub": user_id, "name": "more"}), NOW) == user_id
    assert sign_user_token(user_id, OTHER, ttl_sec=60, now_sec=NOW) == token


def test_a_token_ends_and_begins_with_some_leeway() -> None:
    token = sign("ann", SECRET, now_sec=NOW, life_sec=60)
    assert TOKENS.user_of(token, NOW + 60 + LEEWAY_SEC - 1) == "ann"
    with pytest.raises(ExpiredUserToken):
        TOKENS.user_of(token, NOW + 60 + LEEWAY_SEC)
    early = by_library({"nbf": NOW})
    assert TOKENS.user_of(early, NOW - LEEWAY_SEC) == "ann"
    with pytest.raises(WrongUserToken, match="nbf"):
        TOKENS.user_of(early, NOW - LEEWAY_SEC - 1)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "not a JWT"),
        ("a.b", "not a JWT"),
        ("x" * 5000, "4096"),
        ("é.b.c", "not a JWT"),
        ("a+b.c.d", "not a JWT"),
        (by_library({}, "z" * 64), "no secret"),
        (by_library({}, algorithm="HS384"), "HS256"),
        (jwt.encode({"sub": "ann", "exp": NOW + 60}, None, algorithm="none"), "HS256"),
        (by_library({}, headers={"alg": "HS256", "crit": ["b64"]}), "Critical"),
        (by_library({"sub": ""}), "sub"),
        (by_library({"sub": "visitor:" + "v" * 22}), "visitor"),
        (by_library({"exp": NOW * 1000}), "seconds since 1970"),
    ],
)
def test_what_cannot_be_trusted_says_why(token: str, why: str) -> None:
    with pytest.raises(WrongUserToken, match=why):
        TOKENS.user_of(token, NOW)


def test_another_algorithm_in_a_signed_header_is_refused() -> None:
    header, claims, _ = by_library({}).split(".")
    del header
    other = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    signed = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{other}.{claims}".encode(), SECRET.encode()
    )
    token = f"{other}.{claims}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"
    with pytest.raises(WrongUserToken, match="HS256"):
        TOKENS.user_of(token, NOW)


@given(st.text(max_size=200))
def test_no_text_is_more_than_refused(text: str) -> None:
    for token in (text, f"{text}.{text}.{text}"):
        with pytest.raises(WrongUserToken):
            TOKENS.user_of(token, NOW)


def test_without_secrets_no_token_is_right() -> None:
    with pytest.raises(WrongUserToken, match="USER_TOKEN_SECRETS"):
        UserTokens().user_of(sign("ann", SECRET, now_sec=NOW, life_sec=60), NOW)


@pytest.mark.parametrize(
    ("user_id", "secret", "life_sec"), [("ann", "short", 60), ("", SECRET, 60), ("ann", SECRET, 1e9)]
)
def test_what_would_be_refused_is_not_signed(user_id: str, secret: str, life_sec: float) -> None:
    with pytest.raises(ValueError, match=r"."):
        sign(user_id, secret, now_sec=NOW, life_sec=life_sec)


def test_a_short_secret_is_named_by_its_place_and_not_shown() -> None:
    assert parse_secrets(f" {SECRET}, {OTHER},") == (SECRET, OTHER)
    with pytest.raises(ValueError, match="secret 2 has 6") as caught:
        parse_secrets(f"{SECRET},hidden")
    assert "hidden" not in str(caught.value)


def test_lines_of_a_file_are_secrets_but_for_comments_and_one_has_to_be_there() -> None:
    assert UserTokens.of_some(["# the next one", "", f" {SECRET} ", OTHER]).secrets == (SECRET, OTHER)
    assert UserTokens.of([]).secrets == ()
    with pytest.raises(ValueError, match="no secret"):
        UserTokens.of_some(["# none yet"])


def test_reco_token_reads_secrets_of_a_file(tmp_path: Path) -> None:
    def reco(*arguments: str) -> tuple[int, str]:
        nothing = {"USER_TOKEN_SECRETS": "", "USER_TOKEN_SECRETS_FILE": ""}
        ended = CliRunner().invoke(main, ["token", *arguments], env=nothing)
        return ended.exit_code, ended.output.strip()

    (tmp_path / "secrets").write_text(f"# of the shop\n{SECRET}\n")
    file = ("--secrets-file", str(tmp_path / "secrets"))
    code, token = reco("sign", "ann", *file)
    assert (code, reco("check", token, *file)) == (0, (0, "ann"))
    assert reco("check", token, "--secrets", OTHER)[0] == 2
    assert reco("check", token)[0] == 2
    assert reco("check", token, "--secrets-file", str(tmp_path / "none"))[0] == 2
