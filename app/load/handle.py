"""The command's end of the generator process."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from app.errors import UserError
from app.load import jobs

_decoder: Final[msgspec.json.Decoder[jobs.JobReply]] = msgspec.json.Decoder(jobs.JobReply)
_STOP_TIMEOUT_SEC: Final = 5.0


class GeneratorHandle:
    """Starts the process; `close` ends it, and so does the end of the command, however it comes."""

    def __init__(self, start: jobs.Start) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.load.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._write(start)

    def run(self, job: jobs.Job, on_progress: Callable[[jobs.JobProgress], None]) -> jobs.Measured:
        """Blocks until the job is done. Raises `UserError` when it could not be done at all."""
        reply = self._ask(job, on_progress)
        assert isinstance(reply, jobs.Measured)
        return reply

    def states(self) -> jobs.States:
        """What became of every event id so far."""
        reply = self._ask(jobs.TellStates(), lambda _: None)
        assert isinstance(reply, jobs.States)
        return reply

    def close(self) -> None:
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(_STOP_TIMEOUT_SEC)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _ask(self, job: jobs.Job, on_progress: Callable[[jobs.JobProgress], None]) -> jobs.Measured | jobs.States:
        self._write(job)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = _decoder.decode(line)
            if isinstance(reply, jobs.JobProgress):
                on_progress(reply)
            elif isinstance(reply, jobs.Failed):
                raise UserError(f"The load generator could not go on: {reply.reason}")
            else:
                return reply
        raise self._ended()

    def _write(self, line: jobs.JobLine) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(line) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def _ended(self) -> UserError:
        return UserError(f"The load generator ended with exit code {self._process.wait()}; its error stands above")
