"""TLS before a server that was built without it: what a managed server or a proxy shows to its clients."""

import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

_SSL_REQUEST: Final = bytes.fromhex("0000000804d2162f")


def certify(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, `ca.pem`; its key is `key.pem`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (Debian: apt install openssl)")
    certificate = folder / "ca.pem"
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "key.pem"), "-out", str(certificate), "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *made, *names], check=True, capture_output=True)
    return certificate


@contextmanager
def tls_front(
    port: int,
    certificate: Path,
    *,
    of_postgres: bool = False,
    flows: threading.Event | None = None,
    client_certificate: Path | None = None,
) -> Iterator[int]:
    """A port of loopback that takes TLS alone and leads to `port`. The key is beside the certificate.

    `of_postgres`: a client asks for TLS before it begins with it. While `flows` is not set, nothing passes.
    `client_certificate`: the only one that a client may show, as the file is when the client connects.
    """

    def context() -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_certificate)
        made.load_cert_chain(certificate, certificate.with_name("key.pem"))
        made.verify_mode = ssl.CERT_NONE if client_certificate is None else ssl.CERT_REQUIRED
        return made

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                if of_postgres:
                    if self.request.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
                        return  # it wants to go on without TLS
                    self.request.sendall(b"S")
                with (
                    context().wrap_socket(self.request, server_side=True) as client,
                    socket.create_connection(("127.0.0.1", port)) as server,
                ):
                    _pass_on(client, server, flows)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as front:
        front.daemon_threads = True
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        yield front.server_address[1]
        if flows is not None:
            flows.set()
        front.shutdown()
        thread.join()


def _pass_on(client: ssl.SSLSocket, server: socket.socket, flows: threading.Event | None) -> None:
    """Until either side ends. One thread alone reads and writes a TLS connection."""
    client.settimeout(0.001)
    server.settimeout(0.001)
    while True:
        for source, sink in ((client, server), (server, client)):
            try:
                data = source.recv(65_536)
            except TimeoutError:
                continue
            if flows is not None:
                flows.wait()  # an end does not get through either
            if not data:
                return
            sink.settimeout(10.0)
            sink.sendall(data)
            sink.settimeout(0.001)
