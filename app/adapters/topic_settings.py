"""Settings of our topics that would lose messages: compaction, and a retention that is shorter than ours.

A broker that makes a topic by itself gives it the broker's defaults. Those are replaced by our settings. What somebody
has set on the topic stays as it is, and is refused.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion
from msgspec import Struct

from app import metrics
from app.adapters.kafka_bounds import bounded
from app.core.event_times import MAX_AGE_MS
from app.errors import DependencyDown, UserError

_log = structlog.get_logger(__name__)

# Dedupe rows must outlive what Kafka may deliver again (workers.retention), so no more than this; and it must deliver
# what was not read for a week, so no less.
_DAY_MS: Final = 24 * 3600 * 1000
RETENTION_MS: Final = 7 * _DAY_MS
OURS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": str(RETENTION_MS),
    "retention.bytes": "-1",
}
"""What our topics are made with."""

_UNLIMITED: Final = "-1"
# Kafka's code for a value that is set on the topic itself, not inherited from the broker.
_SET_ON_TOPIC: Final = 1


class TopicSetting(Struct, frozen=True):
    """`own`: set on the topic, not a default of the broker."""

    value: str
    own: bool


class WrongSetting(Struct, frozen=True):
    """A setting with which Kafka may drop messages that nobody has read."""

    topic: str
    name: str
    value: str
    own: bool

    def __str__(self) -> str:
        allowed = {
            "cleanup.policy": "delete; compaction removes all but the last event of a user",
            "retention.ms": f"{RETENTION_MS} (7 days) or more, or -1",
            "retention.bytes": "-1; a bound in bytes removes messages that nobody has read",
        }[self.name]
        return f"topic {self.topic}: {self.name}={self.value}; it must be {allowed}"


def wrong_settings(topic: str, settings: Mapping[str, TopicSetting]) -> list[WrongSetting]:
    """Those of a topic's settings that may lose messages. Settings that are not known are not judged."""
    return [
        WrongSetting(topic, name, setting.value, setting.own)
        for name in OURS
        if (setting := settings.get(name)) is not None and not _keeps_messages(name, setting.value)
    ]


def kept_too_long(settings: Mapping[str, TopicSetting], dedupe_days: float) -> str | None:
    """The retention of a topic that keeps messages for longer than it is known that they were counted; None where it
    does not, or cannot be seen.
    """
    kept = settings.get("retention.ms")
    if kept is None:
        return None
    if kept.value != _UNLIMITED and int(kept.value) <= dedupe_days * _DAY_MS - MAX_AGE_MS:
        return None
    return kept.value


def _keeps_messages(name: str, value: str) -> bool:
    if name == "cleanup.policy":
        return "compact" not in value
    if name == "retention.ms":
        return value == _UNLIMITED or int(value) >= RETENTION_MS
    return value == _UNLIMITED


async def read(
    admin: AIOKafkaAdminClient, topics: Sequence[str], *, timeout_sec: float
) -> dict[str, dict[str, TopicSetting]]:
    """Topic → its settings. Topics that do not exist, or whose settings we may not see, are left out.

    Raises `DependencyDown`.
    """
    wanted = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    found: dict[str, dict[str, TopicSetting]] = {}
    try:
        responses = await bounded(admin.describe_configs(wanted), timeout_sec)
    except DependencyDown as error:
        if not isinstance(error.__cause__, IncompatibleBrokerVersion):
            raise
        # Kafka's mock has no such call.
        return found
    for response in responses:
        for error_code, _, _, topic, entries in response.resources:
            if error_code == 0:
                found[topic] = {
                    name: TopicSetting(value, source == _SET_ON_TOPIC) for name, value, _, source, *_ in entries
                }
    return found


def report(found: Mapping[str, Mapping[str, TopicSetting]]) -> list[WrongSetting]:
    """The wrong settings of these topics, which the gauge tells too. `found`: as `read` returns it."""
    wrong: list[WrongSetting] = []
    for topic, settings in found.items():
        of_topic = wrong_settings(topic, settings)
        for name in OURS:
            metrics.TOPIC_SETTING_WRONG.labels(topic, name).set(any(one.name == name for one in of_topic))
        wrong += of_topic
    return wrong


async def ensure(admin: AIOKafkaAdminClient, topics: Sequence[str], *, partitions: int, timeout_sec: float) -> None:
    """Gives a topic that others made by the broker's defaults our settings, and at least so many partitions if nobody
    has set anything on it: more of them move users from one to another.

    Raises `DependencyDown`, and `UserError` for settings that may lose messages and that are not ours to change.
    """
    found = await read(admin, topics, timeout_sec=timeout_sec)
    for topic, settings in list(found.items()):
        made_by_us = settings["retention.ms"].own if "retention.ms" in settings else True
        if not made_by_us and not any(one.own for one in wrong_settings(topic, settings)):
            await _configure(admin, topic, settings, partitions, timeout_sec)
            found |= await read(admin, [topic], timeout_sec=timeout_sec)
    if wrong := report(found):
        raise UserError("Kafka may drop messages that nobody has read: " + "; ".join(map(str, wrong)))


async def _configure(
    admin: AIOKafkaAdminClient, topic: str, settings: Mapping[str, TopicSetting], partitions: int, timeout_sec: float
) -> None:
    """What the broker refuses stays as it is; `ensure` says what is wrong with that."""
    kept = {name: setting.value for name, setting in settings.items() if setting.own}
    changed = ConfigResource(ConfigResourceType.TOPIC, topic, {**kept, **OURS})
    (response,) = await bounded(admin.alter_configs([changed]), timeout_sec)
    described = await bounded(admin.describe_topics([topic]), timeout_sec)
    if not kept and len(described[0]["partitions"]) < partitions:
        with contextlib.suppress(DependencyDown):
            await bounded(admin.create_partitions({topic: NewPartitions(partitions)}), timeout_sec)
    if not any(error_code for error_code, *_ in response.resources):
        _log.warning("topic_configured", topic=topic, settings=dict(OURS))
