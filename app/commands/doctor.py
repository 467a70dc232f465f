"""`reco doctor`: checks the settings and the dependencies."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import click
from msgspec import Struct

from app import logs
from app.checks import doctor as checks
from app.checks import findings
from app.checks.findings import Finding
from app.commands.json_output import json_option, write_json
from app.core.database_url import for_reads
from app.core.events import TOPICS
from app.options import cache_key_prefix, kafka_options, topic_options
from app.settings import OPEN_REMEDY, SECRETS, Settings


@click.command()
@click.option("--all", "every", is_flag=True, help="Also show settings with their default value.")
@json_option
def doctor(every: bool, as_json: bool) -> None:
    """Check the settings, and each dependency as seen from here: version, latency, permissions, clock, schema.

    The exit code is 1 when something must be fixed.
    """
    settings = Settings.from_env(os.environ)
    logs.configure(format="console", level="ERROR")
    if as_json:
        report = asyncio.run(_report(settings, every=every))
        write_json(report)
        sys.exit(1 if report.failed else 0)
    click.echo("Settings" + ("" if every else " that differ from their defaults (--all shows every one)"))
    for name, text in shown_settings(settings, every=every):
        click.echo(f"  {name}={text}")
    sys.exit(asyncio.run(_examine(settings)))


def shown_settings(settings: Settings, *, every: bool) -> list[tuple[str, str]]:
    """Names as in the environment; secrets only say whether they are set."""
    defaults = Settings(database_url="")
    return [
        (name.upper(), findings.hidden(name, getattr(settings, name), SECRETS))
        for name in settings.__struct_fields__
        if every or getattr(settings, name) != getattr(defaults, name)
    ]


class DoctorReport(Struct):
    """`settings` without secrets; `findings` by the part that they are about; `failed`: how many must be fixed."""

    settings: dict[str, str]
    findings: dict[str, list[Finding]]
    failed: int


async def _report(settings: Settings, *, every: bool) -> DoctorReport:
    found = {title: [finding async for finding in of] for title, of in _questions(settings)}
    failed = sum(finding.level == "FAIL" for findings in found.values() for finding in findings)
    return DoctorReport(dict(shown_settings(settings, every=every)), found, failed)


async def _examine(settings: Settings) -> int:
    failed = warned = 0
    for title, found in _questions(settings):
        click.echo(title)
        async for finding in found:
            failed += finding.level == "FAIL"
            warned += finding.level == "warn"
            click.echo(f"  {finding.level:<4} {finding.subject}: {finding.text}")
            if finding.remedy:
                click.echo(f"       → {finding.remedy}")
    click.echo(_summary(failed, warned))
    return 1 if failed else 0


def _summary(failed: int, warned: int) -> str:
    if not failed and not warned:
        return "No problems found."
    warnings = f"{warned} warning{'s' * (warned > 1)}" if warned else "no warnings"
    return f"{failed or 'No'} finding{'s' * (failed != 1)} must be fixed; {warnings}."


async def _access(settings: Settings) -> AsyncIterator[Finding]:
    if settings.open_address is None:
        yield Finding("ok", "keys", "no call is open to everybody")
    else:
        text = f"without keys, anybody who reaches {settings.open_address} may make every call"
        yield Finding("warn", "keys", text, OPEN_REMEDY)


def _questions(settings: Settings) -> list[tuple[str, AsyncIterator[Finding]]]:
    questions = [
        ("API", _access(settings)),
        ("PostgreSQL", checks.postgres(settings.session_url, settings.db_pool_max_size)),
    ]
    has_sessions = settings.database_pooler == "none"
    if settings.session_url != settings.database_url or not has_sessions:
        asked = checks.pooler(settings.database_url, settings.session_url, has_sessions=has_sessions)
        questions.append(("Pooler", asked))
    if settings.database_read_url:
        url = for_reads(settings.database_read_url)
        replica = checks.replica(
            url,
            settings.session_url,
            has_sessions=has_sessions,
            max_lag_sec=settings.database_read_max_lag_sec,
        )
        questions.append(("Read replica", replica))
    if settings.kafka_bootstrap_servers:
        topics = [settings.kafka_topic_prefix + topic for topic in TOPICS]
        days = settings.retention_dedupe_days
        asked = checks.kafka(kafka_options(settings), topics, topic_options(settings), dedupe_days=days)
        questions.append(("Kafka", asked))
    if settings.online_cache_enabled and settings.online_cache_backend == "redis":
        questions.append(
            (
                "Redis",
                checks.redis(
                    settings.online_cache_redis_url,
                    settings.online_cache_redis_timeout_sec,
                    key_prefix=cache_key_prefix(settings),
                ),
            )
        )
    return questions
