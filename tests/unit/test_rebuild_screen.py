"""What a rebuild says of itself where there is no terminal."""

import io

from rich.console import Console

from app.rebuilding.processes import Report
from app.rebuilding.screen import RebuildScreen


def said(*reports: Report) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=200)
    with RebuildScreen(console) as screen:
        for report in reports:
            screen(report)
    return text.getvalue().splitlines()


def test_a_stage_says_how_many_are_done_and_of_how_many_where_that_is_known() -> None:
    lines = said(Report("Files", 400_000, 0), Report("Events", 400_000, 1_250_000), Report("Adding up pairs", 0, 0))
    assert lines == ["Files: 400,000 events, 0/s", "Events: 400,000 of 1,250,000 events, 0/s", "Adding up pairs"]
