"""A Redis Cluster of real processes on loopback."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import redis

from app.core import redis_slots
from app.core.redis_slots import SLOTS, SlotMap
from tests.support.redis_processes import RedisProcess, free_port, redis_process
from tests.support.service import eventually
from tests.support.tls_front import tls_front

NODE_TIMEOUT_SEC: Final = 1.0


class RedisClusterProcesses:
    """`masters` are those of the beginning, and share the slots evenly; `replicas` follow them in the same order."""

    def __init__(self, masters: Sequence[RedisProcess], replicas: Sequence[RedisProcess]) -> None:
        self.masters = masters
        self.replicas = replicas
        self.nodes = [*masters, *replicas]
        self.ids = {node.port: ask(node, "CLUSTER MYID").decode() for node in self.nodes}

    def url(self, login: str = "") -> str:
        return f"redis+cluster://{login}" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def owner(self, slot: int) -> RedisProcess:
        """As the first node sees it that answers."""
        master = self.map().master_of(slot)
        assert master is not None
        return next(node for node in self.nodes if node.port == master.port)

    def map(self) -> SlotMap:
        for node in self.nodes:
            try:
                return redis_slots.parse(ask(node, "CLUSTER SLOTS"), "127.0.0.1")
            except redis.ConnectionError:
                continue
        raise AssertionError("no node answers")

    def move(self, slot: int, target: RedisProcess) -> None:
        """As `redis-cli --cluster reshard` does it."""
        source = self.owner(slot)
        ask(target, f"CLUSTER SETSLOT {slot} IMPORTING {self.ids[source.port]}")
        ask(source, f"CLUSTER SETSLOT {slot} MIGRATING {self.ids[target.port]}")
        while keys := ask(source, f"CLUSTER GETKEYSINSLOT {slot} 10"):
            with source.client() as client:
                client.migrate("127.0.0.1", target.port, keys, 0, 5000, replace=True)
        for node in (target, source, *(other for other in self.masters if other not in (source, target))):
            ask(node, f"CLUSTER SETSLOT {slot} NODE {self.ids[target.port]}")

    def await_state(self, wanted: str = "ok", without: Sequence[RedisProcess] = ()) -> None:
        for node in self.nodes:
            if node not in without:
                eventually(
                    lambda node=node: f"cluster_state:{wanted}".encode() in ask(node, "CLUSTER INFO"), 30, node.log
                )


def ask(node: RedisProcess, command: str) -> Any:
    with node.client() as client:
        return client.execute_command(*command.split(), NEVER_DECODE=True)


@contextmanager
def redis_cluster_over_tls(certificate: Path, *lines: str) -> Iterator[str]:
    """The URL of three masters that announce addresses where only TLS is spoken."""
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        fronts = [stack.enter_context(tls_front(port, certificate)) for port in ports]
        announced = [f"cluster-announce-port {front}" for front in fronts]
        stack.enter_context(_clustered([(*lines, line) for line in announced], ports, masters=3))
        places = ",".join(f"127.0.0.1:{front}" for front in fronts)
        yield f"rediss+cluster://{places}?ssl_ca_certs={certificate}"


@contextmanager
def redis_cluster(*lines: str, replicated: bool = False) -> Iterator[RedisClusterProcesses]:
    """Three masters, and with `replicated` a replica of each. `lines`: of each configuration."""
    ports = [free_port() for _ in range(6 if replicated else 3)]
    with _clustered([lines] * len(ports), ports, masters=3) as cluster:
        yield cluster


@contextmanager
def _clustered(
    lines: Sequence[Sequence[str]], ports: Sequence[int], *, masters: int
) -> Iterator[RedisClusterProcesses]:
    """`lines`: of the configuration of each node. Nodes after the masters are replicas."""
    always = ("cluster-enabled yes", f"cluster-node-timeout {NODE_TIMEOUT_SEC * 1000:.0f}")
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(redis_process(*always, *own, port=port)) for own, port in zip(lines, ports, strict=True)
        ]
        cluster = RedisClusterProcesses(nodes[:masters], nodes[masters:])
        for number, node in enumerate(nodes, 1):
            ask(node, f"CLUSTER SET-CONFIG-EPOCH {number}")
            if number <= masters:
                share = range(SLOTS * (number - 1) // masters, SLOTS * number // masters)
                ask(node, f"CLUSTER ADDSLOTS {' '.join(map(str, share))}")
            ask(nodes[0], f"CLUSTER MEET 127.0.0.1 {node.port}")
        known = f"cluster_known_nodes:{len(nodes)}\r".encode()
        for node in nodes:
            eventually(lambda node=node: known in ask(node, "CLUSTER INFO"), 30, node.log)
        for master, replica in zip(cluster.masters, cluster.replicas, strict=False):
            ask(replica, f"CLUSTER REPLICATE {cluster.ids[master.port]}")
        cluster.await_state()
        for replica in cluster.replicas:
            with replica.client() as client:
                eventually(
                    lambda client=client: client.info("replication")["master_link_status"] == "up", 30, replica.log
                )
        yield cluster
