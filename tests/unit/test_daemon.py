"""What blocks in a daemon does not keep its process from ending."""

import subprocess
import sys

import pytest

from app.daemon import in_daemon

_BLOCKS = "import asyncio, time; from app.daemon import in_daemon; "
_BLOCKS += "asyncio.run(in_daemon(time.sleep, 3600.0, within_sec=0.1))"


async def test_what_it_returns_and_raises() -> None:
    assert await in_daemon(max, 1, 2, within_sec=60.0) == 2
    with pytest.raises(ZeroDivisionError):
        await in_daemon(divmod, 1, 0, within_sec=60.0)


def test_process_ends_beside_one_that_has_no_answer() -> None:
    done = subprocess.run([sys.executable, "-c", _BLOCKS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("TimeoutError\n")
