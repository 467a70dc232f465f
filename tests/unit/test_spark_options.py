"""Which masters of Spark a rebuild takes, how long it waits for them, and what it says of Java's errors."""

import pytest

from app.errors import UserError
from app.rebuilding.spark.session import SparkOptions, _reason


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


def test_java_that_ended_is_told_with_the_variable_that_somebody_set(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = RuntimeError("[JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number.")
    monkeypatch.setenv("JAVA_HOME", "/opt/java-11")
    assert "JAVA_HOME is /opt/java-11, and must be of Java 17 or later" in _reason(ended)
    monkeypatch.setenv("JAVA_HOME", "/tmp/reco-java-x1")
    assert _reason(ended) == "Java ended, and the lines above say why"


@pytest.mark.parametrize(
    "said", ["Class org.apache.hadoop.fs.s3a.S3AFileSystem not found", 'No FileSystem for scheme "gs"']
)
def test_file_system_that_spark_has_no_classes_for_is_told_with_what_to_do(said: str) -> None:
    found = _reason(RuntimeError(f"An error occurred while calling o52.load.\n: java.lang.Exception: {said}\n\tat x"))
    assert found.startswith(f"it has no classes for a file system ({said}): name their package")
