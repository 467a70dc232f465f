"""Whether files tell which events they hold, by the ids that the API took."""

from pathlib import Path

import pytest

from app.importing.mapping import ImportOptions
from app.importing.reader import detect
from app.rebuilding.local_log import LocalLog
from app.rebuilding.slices import LogFile

ORDERS = "user_id,item_id,ts,event_type\nann,tent,1714557600,purchase\n"
WITH_IDS = "event_id,user_id,item_id,ts,event_type\ne1,ann,tent,1714557600,purchase\n"
IMPRESSIONS = (
    "event_id,event_type,user_id,session_id,ts_ms,item_id,position,feed_id,slot,received_at\n"
    "e1,impression,ann,s1,1714557600000,tent,1,,,2024-05-01T10:00:00Z\n"
)


@pytest.mark.parametrize(
    ("files", "options", "expected"),
    [
        pytest.param([], ImportOptions(), True, id="no files"),
        pytest.param([WITH_IDS], ImportOptions(), True, id="with ids"),
        pytest.param([WITH_IDS], ImportOptions(columns={"event_id": ""}), False, id="ids that are left out"),
        pytest.param([WITH_IDS, ORDERS], ImportOptions(), False, id="one without ids"),
        pytest.param(
            [WITH_IDS, IMPRESSIONS], ImportOptions(), True, id="impressions as exported, which nobody cancels"
        ),
    ],
)
def test_files_tell_ids_if_no_event_that_can_be_cancelled_has_a_derived_one(
    tmp_path: Path, files: list[str], options: ImportOptions, expected: bool
) -> None:
    found = []
    for number, content in enumerate(files):
        (path := tmp_path / f"{number}.csv").write_text(content)
        found.append(LogFile(path, detect(path, options)))
    assert LocalLog(found, 0, options).tells_ids is expected
