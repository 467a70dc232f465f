"""Which answers a client may keep, and which are packed."""

import gzip
from typing import Annotated, Any, Final

import cramjam
import httpx
import msgspec
import pytest
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import UNSET, structs

from app.api.experiment import Label
from app.api.recommendations import tag_of
from app.core.recommendation import Recommendation, RecommendedItem, ScoreParts
from app.http import app, schema
from app.http.etags import NOT_KEPT, tagged, weak_tag_of
from app.http.packing import PACKED_FROM_BYTES, encoding_for
from app.http.responses import reply


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(description="How long the answer is.")] = 1
    tag: Annotated[str, msgspec.Meta(description="The tag of the answer.")] = ""


def handlers() -> list[HTTPRouteHandler]:
    described: dict[str, Any] = {"answers": {}, "tag": "recommendations"}

    @get("/list", opt=schema.call(needs="read", query=Asked, **described))
    async def read(scope: Scope) -> ASGIApp:
        """Answers with other bytes each time where a tag says what they mean."""
        asked = schema.query_of(scope, Asked)
        answer = reply("x" * asked.size)
        if asked.tag:
            answer.headers = [(b"etag", weak_tag_of(asked.tag))]
        return answer

    @post("/list", opt=schema.call(needs="read", query=Asked, **described))
    async def ask(scope: Scope) -> ASGIApp:
        """Asks."""
        return reply("x" * schema.query_of(scope, Asked).size)

    @get("/thing", opt=schema.call(needs="read", **described))
    async def thing() -> ASGIApp:
        """A thing with a strong tag."""
        return tagged("x" * 2 * PACKED_FROM_BYTES)

    @get("/person", opt=schema.call(needs="users", **described))
    async def person() -> ASGIApp:
        """What is stored of a person."""
        return reply("x")

    @get("/logged", opt=schema.call(needs="read", **described))
    async def logged() -> ASGIApp:
        """An answer of which each one counts."""
        return reply("x", headers=[NOT_KEPT])

    return [read, ask, thing, person, logged]


BUILT: Final = app.build(handlers(), app.Options(timeout_sec=5.0, draining=lambda: False))
CLIENT: Final = httpx.AsyncClient(
    transport=httpx.ASGITransport(BUILT),
    base_url="http://test",
    headers={"accept-encoding": "identity"},
)
LONG: Final = f"/list?size={2 * PACKED_FROM_BYTES}"


async def test_unchanged_list_is_not_sent_again() -> None:
    first = await CLIENT.get("/list?size=9")
    assert first.headers["cache-control"] == "private, no-cache"
    again = await CLIENT.get("/list?size=9", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-length" not in again.headers
    assert again.headers["etag"] == first.headers["etag"]
    other = await CLIENT.get("/list?size=8", headers={"if-none-match": first.headers["etag"]})
    assert (other.status_code, other.content) == (200, b'"xxxxxxxx"')


async def test_a_list_in_several_lines_is_one_list() -> None:
    tag = (await CLIENT.get("/list?size=9")).headers["etag"]
    lines = [("if-none-match", tag), ("if-none-match", '"other"'), ("accept", "a"), ("accept", "b")]
    assert (await CLIENT.get("/list?size=9", headers=lines)).status_code == 304
    packed = await CLIENT.get(LONG, headers=[("accept-encoding", "gzip"), ("accept-encoding", "deflate")])
    assert packed.headers["content-encoding"] == "gzip"


async def test_head_has_the_tag_of_get() -> None:
    tag = (await CLIENT.get("/list")).headers["etag"]
    assert (await CLIENT.head("/list")).headers["etag"] == tag
    assert (await CLIENT.head("/list", headers={"if-none-match": tag})).status_code == 304


async def test_list_in_other_bytes_that_say_the_same_is_not_sent_again() -> None:
    tag = (await CLIENT.get("/list?size=5&tag=a")).headers["etag"]
    assert (await CLIENT.get("/list?size=6&tag=a", headers={"if-none-match": tag})).status_code == 304
    assert (await CLIENT.get("/list?size=5&tag=b", headers={"if-none-match": tag})).status_code == 200


async def test_personal_and_logged_answers_are_kept_nowhere() -> None:
    for path in ("/person", "/logged"):
        answer = await CLIENT.get(path, headers={"if-none-match": "*"})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert "etag" not in answer.headers


async def test_long_error_is_packed_as_well() -> None:
    unknown = "&".join(f"parameter{number}=1" for number in range(100))
    answer = await CLIENT.get(f"/list?{unknown}", headers={"accept-encoding": "gzip"})
    assert (answer.status_code, answer.headers["content-encoding"]) == (422, "gzip")
    assert (answer.headers["vary"], len(answer.json()["errors"])) == ("accept-encoding", 100)
    short = await CLIENT.get("/nothing", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_long_answer_is_packed_for_who_takes_it(encoding: str, method: str) -> None:
    async with CLIENT.stream(method, LONG, headers={"accept-encoding": encoding}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == (encoding, "accept-encoding")
    assert len(raw) == int(answer.headers["content-length"]) < PACKED_FROM_BYTES
    unpack = {"gzip": gzip.decompress, "br": cramjam.brotli.decompress, "zstd": cramjam.zstd.decompress}[encoding]
    assert len(bytes(unpack(raw))) == 2 * PACKED_FROM_BYTES + 2


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/list?size=100", {"accept-encoding": "gzip"}),
        (LONG, {}),
        (LONG, {"accept-encoding": "gzip;q=0, deflate"}),
        (LONG, {"accept-encoding": "gzip", "cookie": "session=secret"}),
        ("/thing", {"accept-encoding": "gzip"}),
    ],
    ids=["short", "not asked for", "refused", "with a cookie", "with a strong tag"],
)
async def test_answer_stays_as_it_is(path: str, headers: dict[str, str]) -> None:
    answer = await CLIENT.get(path, headers=headers)
    assert "content-encoding" not in answer.headers


async def test_caches_are_told_that_a_long_answer_has_other_forms() -> None:
    assert (await CLIENT.get(LONG)).headers["vary"] == "accept-encoding"
    assert "vary" not in (await CLIENT.get("/list")).headers


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (b"", None),
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"gzip, deflate, br", b"br"),
        (b"GZIP", b"gzip"),
        (b"gzip;q=1.0, zstd;q=0.5", b"gzip"),
        (b"*", b"zstd"),
        (b"*;q=0.5, zstd;q=0", b"br"),
        (b"gzip;q=0", None),
        (b"identity", None),
        (b"gzip;q=much", None),
    ],
)
def test_encoding_is_the_one_that_the_client_prefers(accepted: bytes, encoding: bytes | None) -> None:
    assert encoding_for(accepted) == encoding


def test_a_last_page_that_others_follow_by_now_has_another_tag() -> None:
    page = Recommendation([], "none", "weights-1")
    assert tag_of(page) != tag_of(page, "k8QgAQAA") != tag_of(page, "k8QgAQAB")


def listed(**shown: Any) -> Recommendation:
    item = RecommendedItem(
        "tent", 0.5, "popular", "Tent", "/tent.jpg", ["lamp"], ScoreParts({}, 1.0), "Popular.", ["r1"]
    )
    return Recommendation(
        [structs.replace(item, **shown), RecommendedItem("mat", 0.1, "popular")], "popular", "weights-1"
    )


@pytest.mark.parametrize(
    "shown",
    [
        {"item_id": "lamp"},
        {"source": "covisitation"},
        {"title": None},
        {"picture_url": None},
        {"because": []},
        {"why": "Because."},
        {"rules": []},
    ],
)
def test_whatever_a_list_shows_changes_its_tag(shown: dict[str, Any]) -> None:
    assert tag_of(listed(**shown)) != tag_of(listed())


def test_scores_change_no_tag_and_the_experiment_does() -> None:
    assert tag_of(listed(score=0.6, parts=ScoreParts({"age": 0.1}, 1.0))) == tag_of(listed())
    labels = [Label(), Label("bolder"), Label("bolder", "autumn"), Label(UNSET, "bolder")]
    assert len({tag_of(listed(), label=label) for label in labels}) == len(labels)
