"""Postgres servers of a test's own: with settings and a socket of their own, or as standbys of each other."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.devstack.folder import Folder, throwaway
from app.devstack.guard import Guard
from app.devstack.postgres import Postgres
from app.devstack.stack import default_folder


class OwnPostgres(Postgres):
    """A server with these settings beside those of the embedded one. Its socket is in `shared`."""

    def __init__(self, folder: Folder, guard: Guard, settings: Mapping[str, str], shared: Path) -> None:
        super().__init__(folder, guard, durable=False)
        self.shared = shared
        self._settings = settings

    def _command(self) -> Sequence[str]:
        return [*super()._command(), *(f"--{name}={value}" for name, value in self._settings.items())]

    def hand_over(self, path: Path, *, mode: int) -> None:
        """Gives a file to the account of the server."""
        path.chmod(mode)
        if self._run_as is not None:
            os.chown(path, self._run_as.uid, self._run_as.gid)


@contextmanager
def own_postgres(settings: Mapping[str, str]) -> Iterator[OwnPostgres]:
    """A running server."""
    folder, guard = throwaway(default_folder()), Guard()
    # The path of a socket is limited to 107 bytes.
    shared = Path(tempfile.mkdtemp(prefix="reco-pg-"))
    folder.open()
    guard.start()
    try:
        server = OwnPostgres(folder, guard, {**settings, "unix_socket_directories": str(shared)}, shared)
        server.hand_over(shared, mode=0o755)
        server.start()
        yield server
        server.stop()
    finally:
        guard.close()
        folder.remove()
        shutil.rmtree(shared)
