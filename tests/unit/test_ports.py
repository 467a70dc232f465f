"""Ports on loopback are given to one process only: each looks free until somebody listens on it."""

import subprocess
import sys

from app.devstack import ports


def test_ports_stay_below_the_range_of_outgoing_connections() -> None:
    assert max(ports.choose() for _ in range(50)) < 32_768


def test_a_port_belongs_to_a_process_until_it_ends() -> None:
    given = ports.choose()
    other = f"from app.devstack.ports import choose, reserve; print(reserve({given}), choose(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", other], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        is_given, its_own = process.stdout.readline().split()
        assert is_given == "False"
        assert not ports.reserve(int(its_own))
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(10) == 0
    assert ports.reserve(int(its_own))


def test_a_process_is_given_a_port_once() -> None:
    assert len({ports.choose() for _ in range(500)}) == 500
