"""Runs librdkafka's mock cluster until it is ended: `mock_kafka.py ADDRESS_FILE TOPIC...`.

It runs as its own process and imports nothing of the app.
"""

import signal
import sys
from pathlib import Path

from confluent_kafka import Producer


def main() -> None:
    address_file, topics = Path(sys.argv[1]), sys.argv[2:]
    # The mock cluster lives inside the client that created it.
    client = Producer({"test.mock.num.brokers": 1})
    broker = next(iter(client.list_topics(timeout=10).brokers.values()))
    for topic in topics:
        client.list_topics(topic, timeout=10)  # a metadata request creates the topic: the mock has no admin API
    staged = address_file.with_suffix(".new")
    staged.write_text(f"{broker.host}:{broker.port}")
    staged.replace(address_file)
    signal.pause()


if __name__ == "__main__":
    main()
