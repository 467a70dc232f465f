"""PostgreSQL, Redis and Apache Kafka as child processes of this one: real servers that need Python alone.

`Stack` starts and stops them; `reco dev` and the tests run on it. It knows nothing of the app.
"""

from app.devstack.stack import Stack

__all__ = ["Stack"]
