"""What is said of a call of Spark that fails. No Spark is needed."""

import pytest

from app.rebuilding.spark.session import is_unanswered


@pytest.mark.parametrize(
    ("error", "unanswered"),
    [
        ("An error occurred while calling o33.hadoopConfiguration", True),
        ("An error occurred while calling o33.load. Trace:\npy4j.Py4JException: Method load does not exist\n", False),
        ("An error occurred while calling o33.load.\n: java.lang.OutOfMemoryError: Java heap space", False),
        ("[PATH_NOT_FOUND] Path does not exist: file:/lake", False),
    ],
)
def test_call_without_an_answer_is_told_from_one_that_java_refused(error: str, unanswered: bool) -> None:
    assert is_unanswered(error) == unanswered
