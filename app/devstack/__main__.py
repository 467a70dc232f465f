"""`python -m app.devstack` fetches Kafka's jars, so that later starts need no network."""

import sys

from app.devstack.jars import Unavailable
from app.devstack.stack import fetch_kafka


def main() -> int:
    try:
        fetch_kafka()
    except Unavailable as error:
        print(f"{error}. Tests that need Kafka will fail, unless KAFKA_BOOTSTRAP_SERVERS is set.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
