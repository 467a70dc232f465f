"""How the process ends: the last test of this folder."""

import signal

import pytest

from tests.acceptance.every_setting.world import World
from tests.support.service import eventually


@pytest.mark.slow
@pytest.mark.shows("SHUTDOWN_TIMEOUT_SEC", "SHUTDOWN_GRACE_SEC")
def test_a_grace_period_beyond_the_timeout_is_cut_short(world: World) -> None:
    """The last test of this process: with the default of either time, it would end with 0."""
    world.service.process.send_signal(signal.SIGTERM)
    eventually(lambda: world.service.status("/readyz") == 503, describe=world.describe)
    assert world.client.get("/contract").status_code == 200
    assert world.service.process.wait(timeout=30) == 1
