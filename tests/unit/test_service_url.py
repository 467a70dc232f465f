"""Commands without a URL ask the service at HTTP_PORT of this machine."""

import socket

import pytest
from click.testing import CliRunner

from app.cli import main
from app.commands.service_url import local_url
from app.devstack.ports import choose


@pytest.mark.parametrize(
    ("port", "url"),
    [(None, "http://127.0.0.1:8080"), ("", "http://127.0.0.1:8080"), (" 9000 ", "http://127.0.0.1:9000")],
)
def test_the_default_url_has_the_port_of_http_port(monkeypatch: pytest.MonkeyPatch, port: str | None, url: str) -> None:
    monkeypatch.delenv("HTTP_PORT", raising=False)
    if port is not None:
        monkeypatch.setenv("HTTP_PORT", port)
    assert local_url() == url


@pytest.mark.parametrize("command", ["status", "smoke", "check"])
def test_a_command_without_a_url_asks_at_http_port(command: str) -> None:
    port = choose()
    with socket.socket() as taken:  # bound but not listening, so connections are refused
        taken.bind(("127.0.0.1", port))
        result = CliRunner(env={"HTTP_PORT": str(port)}).invoke(main, [command])
    assert f"no answer from http://127.0.0.1:{port}" in result.output
