"""An identity provider that gives short-lived tokens for client credentials, as RFC 6749 has it."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import jwt

CLIENT_ID: Final = "reco"
CLIENT_SECRET: Final = "s: ecret/%"
SCOPE: Final = "kafka events"


class IdentityProvider:
    """`life_sec`: of each token, and `told_life` what it says of that. `given`: how many it gave. While `away`, it
    answers 503; while `answers` is not set, nothing. `instead`: what it answers in place of all that, if anything.
    """

    def __init__(self, url: str, life_sec: float) -> None:
        self.url = url
        self.life_sec = life_sec
        self.told_life: object = life_sec
        self.given = 0
        self.away = False
        self.instead = b""
        self.answers = threading.Event()
        self.answers.set()

    def answer(self, authorization: str, body: str) -> tuple[int, dict[str, Any]]:
        if self.away:
            return 503, {"error": "temporarily_unavailable"}
        login = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        if [unquote(part) for part in login] != [CLIENT_ID, CLIENT_SECRET]:
            return 401, {"error": "invalid_client"}
        if parse_qs(body) != {"grant_type": ["client_credentials"], "scope": [SCOPE]}:
            return 400, {"error": "invalid_request"}
        self.given += 1
        return 200, {"access_token": unsigned_token(self.life_sec), "expires_in": self.told_life}


def unsigned_token(life_sec: float) -> str:
    """A token of the user `reco`, as Kafka's validator for development takes it."""
    now = time.time()
    return jwt.encode({"sub": "reco", "iat": now, "exp": now + life_sec}, None, algorithm="none")


@contextmanager
def identity_provider(life_sec: float) -> Iterator[IdentityProvider]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            provider.answers.wait()
            if provider.instead:
                self.wfile.write(provider.instead)
                return
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = provider.answer(self.headers["Authorization"], body)
            encoded = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = IdentityProvider(f"http://127.0.0.1:{server.server_address[1]}/token", life_sec)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield provider
        server.shutdown()
        thread.join()
