"""Every error has a code that stays the same, and the table of the documentation has all of them."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import HTTPException

from app.errors import BufferFull, Closed, DependencyDown, NotCommitted
from app.http.context import Late, RequestContext
from app.http.problem_codes import ProblemCode
from app.http.problems import Problem, render

API = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
APP = Path(__file__).parents[2] / "app"
ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \| (.+) \|$", re.MULTILINE)


def code_of(error: Exception) -> str:
    return msgspec.json.decode(render(RequestContext({}), error).body, type=Problem).code


def test_the_table_of_the_documentation_has_every_code() -> None:
    assert [(word, int(status), meaning) for word, status, meaning in ROW.findall(API)] == [
        (code.word, code.status, code.meaning) for code in ProblemCode
    ]


def test_codes_are_words_of_which_each_stands_once() -> None:
    words = [code.word for code in ProblemCode]
    assert len(set(words)) == len(words) == len({code.name for code in ProblemCode})
    assert all(code.word == code.name.lower() for code in ProblemCode)


def test_every_code_is_the_answer_to_something() -> None:
    sources = "".join(path.read_text() for path in APP.rglob("*.py") if path.name != "problem_codes.py")
    assert [code.name for code in ProblemCode if f"ProblemCode.{code.name}" not in sources] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BufferFull(), "too_many_waiting"),
        (Closed(), "shutting_down"),
        (NotCommitted("late"), "not_stored_in_time"),
        (DependencyDown("kafka", "away"), "unavailable"),
        (Late(), "late"),
        (ValueError("a bug"), "failed"),
    ],
)
def test_what_goes_wrong_has_a_code(error: Exception, code: str) -> None:
    assert code_of(error) == code


@given(st.integers(400, 599))
def test_an_error_of_the_framework_has_a_code_whatever_its_status(status: int) -> None:
    assert code_of(HTTPException("wrong", status_code=status)) in {code.word for code in ProblemCode}
