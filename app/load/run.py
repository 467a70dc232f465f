"""One run from its plan to its results: starts what it needs, and always ends it."""

import importlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Final

from app.core.database_url import check_database_url
from app.core.redis_url import check_redis_url
from app.errors import UserError
from app.load import jobs
from app.load.bench import Bench
from app.load.handle import GeneratorHandle
from app.load.plan import Plan
from app.load.results import Results
from app.load.scenarios import SCENARIOS
from app.load.screen import LoadScreen
from app.load.store import CheckResult
from app.load.subject import Remote


def run(plan: Plan, screen: LoadScreen, environ: Mapping[str, str] = os.environ) -> tuple[Results, CheckResult | None]:
    """Raises `UserError` when the run cannot be made or go on."""
    with ExitStack() as stack:
        bench = _bench(plan, screen, environ, stack)
        bench.prepare()
        for number in range(plan.rounds):
            for name in plan.scenarios:
                screen.step(f"round {number + 1} of {plan.rounds}: {name}")
                SCENARIOS[name].run(bench)
        return bench.results, bench.check() if plan.check else None


def _bench(plan: Plan, screen: LoadScreen, environ: Mapping[str, str], stack: ExitStack) -> Bench:
    """Everything the plan needs, running; the stack ends it."""
    _check_server_urls(environ)
    own = baseline = None
    database_url, kafka = environ.get("DATABASE_URL", ""), ""
    if plan.url is None or plan.baselines:
        embedded = _embedded()
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reco-load-")))
        guard = stack.enter_context(embedded.guard())
        if plan.url is None:
            urls = stack.enter_context(embedded.servers(environ, screen))
            database_url, kafka = urls["DATABASE_URL"], urls["KAFKA_BOOTSTRAP_SERVERS"]
            own = stack.enter_context(embedded.service(plan, urls, environ, logs, guard, screen))
        if plan.baselines:
            baseline = stack.enter_context(embedded.baseline(environ, logs, guard))
    subject = own or _remote(plan)
    generator = GeneratorHandle(jobs.Start(shape=plan.shape, run=secrets.token_hex(4)))
    stack.callback(generator.close)
    return Bench(
        plan,
        generator,
        screen,
        subject=subject,
        own=own,
        baseline=baseline,
        database_url=database_url,
        bootstrap_servers=kafka,
        topic_prefix=environ.get("KAFKA_TOPIC_PREFIX", ""),
    )


_CHECKS: Final = {
    "DATABASE_URL": check_database_url,
    "DATABASE_DIRECT_URL": check_database_url,
    "DATABASE_READ_URL": check_database_url,
    "ONLINE_CACHE_REDIS_URL": check_redis_url,
}


def _check_server_urls(environ: Mapping[str, str]) -> None:
    for name, check in _CHECKS.items():
        if url := environ.get(name, "").strip():
            try:
                check(url)
            except ValueError as error:
                raise UserError(f"{name}=(hidden): {error}") from None


def _embedded() -> ModuleType:
    """The module needs packages that a service at a URL is measured without."""
    try:
        return importlib.import_module("app.load.embedded")
    except ModuleNotFoundError as error:
        raise UserError(
            f"Embedded servers need the package {error.name}: install the project with its extra `dev` "
            "(scripts/dev does), or give the URL of a running service and leave --baseline out"
        ) from error


def _remote(plan: Plan) -> Remote:
    assert plan.url is not None
    subject = Remote(plan.url)
    subject.check()
    return subject
