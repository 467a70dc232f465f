"""`python -m tests.faults.slow_kafka`: the service with a Kafka that is 15 ms away."""

from typing import Final

from aiokafka.conn import AIOKafkaConnection

from app.cli import main
from tests.support.slow_line import delayed

SLOW_KAFKA: Final = ("tests.faults.slow_kafka",)

if __name__ == "__main__":
    AIOKafkaConnection.send = delayed(AIOKafkaConnection.send)
    main(["serve"], prog_name="python -m tests.faults.slow_kafka")
