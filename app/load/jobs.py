"""What the command asks of the generator process and what it hears back, one JSON object a line."""

from msgspec import Struct, field

from app.load.lists import ListKind
from app.load.loops import Window
from app.load.requests import Endpoint
from app.load.workload import Shape


class Start(Struct, frozen=True, kw_only=True, tag="start"):
    """The first line: the world to draw from, and the run's name (8 characters), which is part of every event id."""

    shape: Shape
    run: str


class SendSingles(Struct, frozen=True, kw_only=True, tag="singles"):
    """Closed loop, one event a request. `recorded` is false for a baseline: its events are stored nowhere."""

    endpoint: Endpoint
    connections: int
    window: Window
    recorded: bool = True


class SendBatches(Struct, frozen=True, kw_only=True, tag="batches"):
    """Closed loop, `size` events a request."""

    endpoint: Endpoint
    connections: int
    size: int
    window: Window


class SendSeeds(Struct, frozen=True, kw_only=True, tag="seeds"):
    """The users' histories, each event once. `now_ms`: they end there."""

    endpoint: Endpoint
    connections: int
    size: int
    now_ms: int
    window: Window


class SendReads(Struct, frozen=True, kw_only=True, tag="reads"):
    """Closed loop of `GET /reco` for the users of the world."""

    endpoint: Endpoint
    connections: int
    k: int
    window: Window


class SendCatalogue(Struct, frozen=True, kw_only=True, tag="catalogue"):
    """The items of the world, each once, so that a filter keeps one in a hundred of them."""

    endpoint: Endpoint
    k: int
    window: Window
    connections: int = 1


class SendLists(Struct, frozen=True, kw_only=True, tag="lists"):
    """Open loop at `rate` requests a second for lists of the catalogue that `SendCatalogue` stored."""

    endpoint: Endpoint
    connections: int
    kind: ListKind
    k: int
    rate: float
    window: Window


class SendSteadily(Struct, frozen=True, kw_only=True, tag="steady"):
    """Open loop at `rate` events a second, of which `marked_per_sec` are watched until `/reco` reflects them."""

    endpoint: Endpoint
    connections: int
    rate: float
    marked_per_sec: float
    window: Window


class SendMixed(Struct, frozen=True, kw_only=True, tag="mixed"):
    """Open loops: `rate` events and `reads_per_sec` `GET /reco` a second.

    One event in five is of users and items that come in this `turn` alone.
    """

    endpoint: Endpoint
    connections: int
    rate: float
    reads_per_sec: float
    k: int
    turn: int
    window: Window


class FillOutbox(Struct, frozen=True, kw_only=True, tag="fill"):
    """`count` events and their outbox rows straight into Postgres, as the API would have written them."""

    database_url: str
    count: int


class InsertRows(Struct, frozen=True, kw_only=True, tag="insert"):
    """Baseline: `clients` connections insert `size` rows a statement into a plain table, with asyncpg alone."""

    database_url: str
    clients: int
    size: int
    window: Window


class ProduceMessages(Struct, frozen=True, kw_only=True, tag="produce"):
    """Baseline: the events as Kafka messages, through a producer like the relay's and nothing else."""

    bootstrap_servers: str
    topic: str
    partitions: int
    window: Window


class TellStates(Struct, frozen=True, tag="states"):
    """Asks what became of every event id: answered by `States`."""


ClosedLoopJob = SendSingles | SendBatches | SendSeeds | SendReads | SendCatalogue
OpenLoopJob = SendSteadily | SendMixed | SendLists
Job = ClosedLoopJob | OpenLoopJob | FillOutbox | InsertRows | ProduceMessages | TellStates
JobLine = Start | Job


class Series(Struct, kw_only=True):
    """One measured series. `good`: events stored or reads answered in the window; `latency`: `Latencies.encoded`."""

    seconds: float
    requests: int = 0
    good: int = 0
    latency: str = ""
    errors: dict[str, int] = field(default_factory=dict)
    first_bodies: dict[str, str] = field(default_factory=dict)


class Measured(Struct, kw_only=True, tag="measured"):
    """The end of a job. `visible` is the second series of `SendSteadily`: acknowledged until seen in `/reco`; `reads`
    that of `SendMixed`.
    """

    series: Series
    visible: Series | None = None
    reads: Series | None = None
    generator_cpu_sec: float = 0.0


class JobProgress(Struct, tag="progress"):
    """A word while the job runs: events or reads so far, errors so far."""

    good: int
    errors: int


class States(Struct, kw_only=True, tag="states"):
    """`compressed`: zlib of one byte for each event number, as in `requests`; base64 on the wire."""

    id_prefix: str
    compressed: bytes


class Failed(Struct, tag="failed"):
    """The job could not be done: the service, the database or Kafka is not there."""

    reason: str


JobReply = Measured | JobProgress | States | Failed
