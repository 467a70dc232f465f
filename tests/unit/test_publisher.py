"""What the relay's publisher makes of certificates that cannot be read just now."""

import pytest

from app.adapters.kafka import KafkaOptions, TopicOptions
from app.adapters.outbox import OutboxRow
from app.core.events import TOPIC_INTERACTIONS
from app.core.failing_partitions import FailingPartitions
from app.errors import DependencyDown
from workers.publisher import Publisher

ROW = OutboxRow(1, "event-0001", TOPIC_INTERACTIONS, "ann", "{}", None, 0, 0.0, 0)


async def test_certificate_that_cannot_be_read_is_an_outage() -> None:
    options = KafkaOptions(
        bootstrap_servers="127.0.0.1:1", client_id="test", security_protocol="SSL", ssl_cafile="/none/ca.pem"
    )
    publisher = Publisher(options, TopicOptions(), FailingPartitions(), timeout_sec=5.0)
    with pytest.raises(DependencyDown, match="The certificates for Kafka"):
        await publisher.publish([ROW])
    (result,) = await publisher.publish_singly([ROW])
    assert isinstance(result, DependencyDown)
    await publisher.close()
