"""PostgreSQL, Redis and Apache Kafka as child processes: real servers that need only Python.

`Stack` starts and stops them; `reco dev` and the tests run on it. It imports nothing of the app but `app.java`.
"""

from app.devstack.stack import Stack

__all__ = ["Stack"]
