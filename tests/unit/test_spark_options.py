"""How long a rebuild waits for Spark."""

import pytest

from app.rebuilding.spark.session import SparkOptions


@pytest.mark.parametrize(
    ("master", "local"),
    [("local", True), ("local[*]", True), ("local[2]", True), ("spark://h:7077", False), ("yarn", False)],
)
def test_a_spark_of_this_machine_may_start_slowly(master: str, local: bool) -> None:
    """It cannot be away, as the master of a cluster can."""
    options = SparkOptions(master=master, work="work")
    assert (options.is_local, options.patience_sec > 600) == (local, local)
