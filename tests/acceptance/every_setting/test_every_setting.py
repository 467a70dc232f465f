"""Each setting has a test, marked `shows`, in which a running service does what the setting says.

Most are in this folder, on one process (`world`). A setting that needs a process of its own has its test elsewhere.
"""

from typing import Final

import pytest

from app.settings import Settings
from tests.acceptance.every_setting.world import World
from tests.support.shown import shown

# Shown by processes that a test of this folder starts beside `world`.
_OTHER_PROCESSES: Final = {"online_cache_enabled", "online_cache_backend"}


def test_every_setting_has_a_test_that_shows_its_effect() -> None:
    settings = {name for name in shown("acceptance", "faults", "integration") if not name.startswith("reco ")}
    assert settings == {name.upper() for name in Settings.__struct_fields__}


@pytest.mark.parametrize(
    "name", sorted({name.lower() for name in shown("acceptance/every_setting")} - _OTHER_PROCESSES)
)
def test_a_setting_that_is_shown_here_has_another_value_than_the_default(world: World, name: str) -> None:
    assert getattr(world.settings, name) != getattr(Settings(database_url=""), name)
