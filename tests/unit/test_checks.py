"""The pure parts of smoke, check, doctor and migrate --check."""

import pytest
from click.testing import CliRunner

from app.adapters.schema_check import drift, order_errors
from app.checks import findings, smoke, targets
from app.checks.client import Client, HttpReply
from app.cli import main
from app.commands.doctor import shown_settings
from app.commands.status import lines, samples
from app.core import events
from app.errors import UserError
from app.settings import SECRETS, Settings

FIRST = ("0001.first", "-- depends:\nSELECT 1;")


def test_migrations_in_order_have_no_errors() -> None:
    texts = dict([FIRST, ("0002.second", "-- depends: 0001.first\n"), ("0010.third", "-- depends: 0001.first\n")])
    assert order_errors(texts) == []


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        ({"first": "-- depends:\n"}, "is named NNNN"),
        ({"0001.First": "-- depends:\n"}, "is named NNNN"),
        (dict([FIRST, ("0001.other", "-- depends: 0001.first\n")]), "has the same number as 0001.first"),
        (dict([FIRST, ("0002.second", "SELECT 1;")]), "needs a line"),
        (dict([FIRST, ("0002.second", "-- depends:\n")]), "needs a line"),
        (dict([FIRST, ("0002.second", "-- depends: 0003.third\n")]), "needs a line"),
        ({"0001.first": "-- depends: 0000.before\n"}, "needs a line"),
    ],
)
def test_migrations_out_of_order_are_errors(texts: dict[str, str], error: str) -> None:
    (found,) = order_errors(texts)
    assert error in found


def test_drift_names_each_part_once() -> None:
    expected = {("t", "table", "t"): "", ("t", "column", "a"): "text", ("t", "index", "i"): "CREATE INDEX i"}
    expected |= {("gone", "table", "gone"): "", ("gone", "column", "a"): "text"}
    live = {("t", "table", "t"): "", ("t", "column", "a"): "integer", ("t", "column", "b"): "text"}
    live |= {("more", "table", "more"): "", ("more", "column", "a"): "text"}
    errors = drift(expected, live, extra_is_error=True)
    assert [error.split(":")[0] for error in errors] == [
        "column a of t",
        "index i of t",
        "table gone",
        "column b of t",
        "table more",
    ]
    assert len(drift(expected, live, extra_is_error=False)) == 3
    assert drift(live, live, extra_is_error=True) == []


def test_the_walk_has_an_event_of_each_kind_that_the_service_takes() -> None:
    kinds = set()
    for path, body in smoke.events("0123456789ab"):
        kinds.add(body.get("event_type", path.removeprefix("/log/")))
        assert 8 <= len(body["event_id"]) <= 64
    assert kinds == {"impression", "watch", "view", "click", "purchase"}
    assert len(events.TOPICS) == 3


def test_sla_figures_must_not_be_above_and_kpis_not_below_their_targets() -> None:
    now = {
        "ingest": {"p99_ms": 10.0},
        "reco": {"p99_ms": 300.0},
        "freshness": None,
        "error_ratio": 0.0,
        "targets": {"ingest_p99_ms": 100.0, "reco_p99_ms": 100.0, "freshness_p99_ms": 1000.0, "error_ratio": 0.001},
    }
    verdicts = {verdict.name: verdict.ok for verdict in targets.sla_verdicts(now)}
    assert verdicts == {"ingest_p99_ms": True, "reco_p99_ms": False, "freshness_p99_ms": None, "error_ratio": True}
    kpis = targets.kpi_verdicts({"ctr_at_20": 0.04, "coverage_at_20": None}, {"ctr_at_20": 0.05, "coverage_at_20": 0.3})
    assert [verdict.ok for verdict in kpis] == [False, None]


def test_a_slow_or_misconfigured_server_is_a_warning_with_a_remedy() -> None:
    assert findings.latency("redis", 1.0).level == "ok"
    assert findings.latency("redis", 100.0).remedy
    assert findings.clock("postgres", -0.2).level == "ok"
    assert findings.clock("postgres", -3600.0).level == "warn"
    assert findings.encoding("UTF8").level == "ok"
    assert findings.encoding("SQL_ASCII").remedy


def test_no_secret_is_ever_shown() -> None:
    url = "postgresql://reco:hunter2@db/reco"
    settings = Settings(
        database_url=url,
        database_direct_url=url,
        database_read_url=url,
        kafka_sasl_password="hunter2",
        kafka_oauth_client_secret="hunter2",
        kafka_ssl_key_password="hunter2",
        online_cache_redis_url="redis://:hunter2@r",
        api_keys=("hunter2",),
        user_token_secrets=("hunter2",),
    )
    shown = dict(shown_settings(settings, every=True))
    assert len(shown) == len(Settings.__struct_fields__)
    assert "hunter2" not in str(shown)
    assert {shown[name.upper()] for name in SECRETS} == {"(set, hidden)"}
    assert dict(shown_settings(settings, every=False)).keys() == {name.upper() for name in SECRETS}


def test_every_setting_that_may_hold_a_secret_is_known_as_one() -> None:
    suspicious = ("password", "_secret", "_secrets", "_keys", "_url")
    # A number, and a URL that may not have a login.
    known = {"online_cache_memory_max_keys", "kafka_oauth_token_url"}
    assert {name for name in Settings.__struct_fields__ if name.endswith(suspicious)} - known == SECRETS


def test_status_tells_state_since_when_restarts_and_error() -> None:
    entry = {"state": "restarting", "since": "t", "restarts": 2, "detail": None, "error": "ValueError: x"}
    redis = {"state": "down", "since": "t", "need": "degrades", "error": "refused"}
    report = {"tasks": {"outbox-relay": entry}, "dependencies": {"redis": redis}}
    assert list(lines(report)) == [
        "task outbox-relay: restarting since t, 2 restarts (ValueError: x)",
        "degrades redis: down since t (refused)",
    ]


EXPOSITION = """\
# HELP reco_lag_ms A histogram
reco_lag_ms_bucket{le="10.0"} 1.0
reco_lag_ms_bucket{le="+Inf"} 2.0
reco_lag_ms_count 2.0
reco_lag_ms_created 1.7e+09
reco_errors_total{kind="kafka"} 3.0
"""


def test_buckets_of_a_metric_are_shown_only_when_asked_for() -> None:
    assert list(samples(EXPOSITION, "lag")) == ["reco_lag_ms_count 2.0"]
    assert len(list(samples(EXPOSITION, "lag_ms_bucket"))) == 2
    assert list(samples(EXPOSITION, "_created")) == ["reco_lag_ms_created 1.7e+09"]
    assert list(samples(EXPOSITION, "kafka|^reco_lag_ms_c")) == [
        "reco_lag_ms_count 2.0",
        'reco_errors_total{kind="kafka"} 3.0',
    ]


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080", "ftp://host", "http://", "http://host?x=1", "http://host:abc", "http://host:70000", "http://[::1",
        "http://ho st", "http://host/a b",
    ],
)  # fmt: skip
def test_an_invalid_service_url_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="not a valid service URL"):
        Client(url)


@pytest.mark.parametrize("command", ["status", "smoke", "check"])
def test_an_invalid_http_port_is_named_by_each_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "abc")
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 2
    assert "HTTP_PORT='abc'" in result.output


def test_an_invalid_pattern_of_metrics_is_refused() -> None:
    result = CliRunner().invoke(main, ["status", "--metrics", "lag("])
    assert result.exit_code == 2
    assert "--metrics" in result.output
    assert "unterminated subpattern" in result.output


def test_an_answer_of_another_server_is_reported() -> None:
    assert "check the URL" in HttpReply(404, "<html>", 1.0).shown()
    assert HttpReply(404, {"detail": "No such path."}, 1.0).shown() == "404 No such path."
    assert HttpReply(0, "no answer from x", 1.0).shown() == "no answer from x"


class Refusing(Client):
    """A service that takes the first event and no other."""

    def __init__(self) -> None:
        super().__init__("http://service")
        self.calls: list[str] = []

    def call(self, method: str, path: str, body: object = None) -> HttpReply:
        self.calls.append(f"{method} {path}")
        posts = sum(call.startswith("POST") for call in self.calls)
        return HttpReply({"GET": 200, "DELETE": 200}.get(method, 202 if posts == 1 else 503), {}, 1.0)


def test_a_walk_that_ends_early_erases_what_was_taken() -> None:
    service = Refusing()
    steps = list(smoke.walk(service, run="0123456789ab", patience_sec=1.0))
    assert [step.ok for step in steps[-2:]] == [False, True]
    assert service.calls[-1] == "DELETE /users/reco-smoke-0123456789ab"
