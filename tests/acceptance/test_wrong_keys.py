"""Wrong API keys are counted, limited and logged; whoever has a right one notices nothing. A trailer is no key."""

import json
import socket

import httpx
import pytest

from app.core import keys
from app.http.wrong_keys import MAX_A_MINUTE
from tests.support.service import running

KEY, TOKEN = keys.make("shop", ["write", "read"], "k" * 43)
_GUESSES = 3000


@pytest.mark.slow
def test_wrong_keys_are_limited_by_address_and_logged_in_a_line(environment: dict[str, str]) -> None:
    limited = {"ROLE": "api", "API_KEYS": KEY.entry(), "HTTP_HOST": "0.0.0.0"}
    with running({**environment, **limited}) as service, httpx.Client(base_url=service.url, timeout=20) as client:
        answers = [
            client.get("/contract", headers={"x-api-key": f"{'shop' if number % 2 else 'other'}.{number}"})
            for number in range(_GUESSES)
        ]
        # The minute may end between two of them, and another one begin.
        assert [answer.status_code for answer in answers[: MAX_A_MINUTE + 1]] == [401] * MAX_A_MINUTE + [429]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= _GUESSES - 5 * MAX_A_MINUTE
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
        assert refused[0].json()["detail"] == "More than 60 wrong API keys in a minute from this address."

        assert client.get("/contract", headers={"x-api-key": TOKEN}).status_code == 200
        assert client.get("/contract").status_code == 401
        elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(base_url=service.url.replace("127.0.0.1", "127.0.0.2"), transport=elsewhere) as other:
            assert other.get("/contract", headers={"x-api-key": "shop.guess"}).status_code == 401
        assert service.metric("reco_api_keys_refused_total") == _GUESSES + 1
        assert service.terminate() == 0
        lines = [json.loads(line) for line in service.log().splitlines() if '"api_keys_refused"' in line]
        assert "guess" not in service.log()
    assert len([line for line in lines if line["address"] == "127.0.0.2"]) == 1

    of_client = [line["count"] for line in lines if line["address"] == "127.0.0.1"]
    assert sum(of_client) == _GUESSES
    assert len(of_client) <= 5


def test_a_key_in_a_trailer_authenticates_nobody(environment: dict[str, str]) -> None:
    body = json.dumps({"event_type": "view", "user_id": "u", "session_id": "s", "item_id": "i"}).encode()
    head = b"POST /event HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-API-Key\r\n"
    trailer = b"X-API-Key: %s\r\nAuthorization: Bearer %s\r\n" % (TOKEN.encode(), TOKEN.encode())
    sent = b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailer)
    after = b"GET /contract HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with running({**environment, "ROLE": "api", "API_KEYS": KEY.entry()}) as service:
        for key, statuses in ((b"", [b"401", b"401"]), (b"X-API-Key: %s\r\n" % TOKEN.encode(), [b"202", b"401"])):
            with socket.create_connection(("127.0.0.1", int(environment["HTTP_PORT"])), timeout=20) as connection:
                connection.sendall(head + key + b"\r\n" + sent + after)
                received = b""
                while data := connection.recv(65536):
                    received += data
            assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == statuses
        assert service.metric("reco_ingest_events_total", outcome="accepted") == 1
