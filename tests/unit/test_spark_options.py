"""Which masters of Spark a rebuild takes, and how long it waits for them."""

import pytest

from app.errors import UserError
from app.rebuilding.spark.session import SparkOptions


@pytest.mark.parametrize(
    ("master", "local"),
    [("local", True), ("local[*]", True), ("local[2]", True), ("spark://h:7077", False), ("yarn", False)],
)
def test_a_spark_of_this_machine_may_start_slowly(master: str, local: bool) -> None:
    """It cannot be away, as the master of a cluster can."""
    options = SparkOptions(master=master, work="work")
    assert (options.is_local, options.patience_sec > 600) == (local, local)


@pytest.mark.parametrize("master", ["head:7077", "spark:head:7077", "http://head:8080", "Yarn", "spark://"])
def test_master_of_no_kind_that_spark_knows_is_refused(master: str) -> None:
    with pytest.raises(UserError, match=f"--master {master} is not a Spark master: expected local"):
        SparkOptions(master=master, work="work")
