"""Processes by id: their descendants, signals, and whether an id still belongs to the same process."""

import os
import pwd
import signal
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

import psutil  # type: ignore[import-untyped]

_END_TIMEOUT_SEC: Final = 10.0


class Account(NamedTuple):
    name: str
    uid: int
    gid: int


class Identity(NamedTuple):
    """A process id may be reused; together with its start time it is unique."""

    pid: int
    born: float


def unprivileged_account() -> Account | None:
    """An account for a server that refuses to run as root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    return None


def identify(pid: int) -> Identity | None:
    """None when no such process runs, or it has ended and only waits for its parent."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Identity(pid, process.create_time())
    except psutil.Error:
        return None


def runs(identity: Identity) -> bool:
    return identify(identity.pid) == identity


def is_stopped(identity: Identity) -> bool:
    """True while SIGSTOP holds it."""
    try:
        return runs(identity) and psutil.Process(identity.pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def family(pid: int) -> list[Identity]:
    """The process first, then all its descendants."""
    try:
        members = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []
    return [identity for member in members if (identity := identify(member.pid)) is not None]


def signal_all(identities: Iterable[Identity], number: signal.Signals) -> None:
    for identity in identities:
        if runs(identity):
            try:
                os.kill(identity.pid, number)
            except ProcessLookupError:
                continue


def await_end(identities: Iterable[Identity]) -> bool:
    """Waits until none of them runs; False when some still do after ten seconds."""
    waiting = list(identities)
    deadline = time.monotonic() + _END_TIMEOUT_SEC
    while waiting := [identity for identity in waiting if runs(identity)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(identity: Identity, number: signal.Signals) -> None:
    """Ends a left-over process: sends `number` first, SIGKILL if that does not end it."""
    everyone = family(identity.pid) if runs(identity) else []
    signal_all(everyone[:1], number)
    signal_all(everyone, signal.SIGCONT)
    if not await_end(everyone):
        signal_all(everyone, signal.SIGKILL)
        await_end(everyone)
