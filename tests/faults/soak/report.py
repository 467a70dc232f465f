"""What a soak found, as text and as JSON."""

from collections.abc import Mapping
from statistics import median

from msgspec import Struct, field


class Recovery(Struct, frozen=True):
    """A round, and the seconds from the end of its fault until all that was sent was counted."""

    kind: str
    seconds: float
    bound: float


class Report(Struct):
    seed: int
    minutes: float = 0.0
    events: dict[str, int] = field(default_factory=dict)
    """Number of events by outcome. After each round all of them are accepted: the client repeats the others."""
    answers: dict[str, int] = field(default_factory=dict)
    """Number of answers by status; `none` when the connection ended."""
    kills: dict[str, int] = field(default_factory=dict)
    freezes: dict[str, int] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Rounds that were quiet only after their bound, which may be the machine's fault."""

    def text(self) -> str:
        lines = [
            f"seed {self.seed}, {self.minutes:.1f} minutes, {len(self.recoveries)} rounds",
            f"events: {_listed(self.events)}; answers: {_listed(self.answers)}",
            f"kills: {sum(self.kills.values())} ({_listed(self.kills)})",
            f"freezes: {sum(self.freezes.values())} ({_listed(self.freezes)})",
            "seconds from the end of a fault until everything was counted:",
        ]
        by_kind: dict[str, list[Recovery]] = {}
        for recovery in self.recoveries:
            by_kind.setdefault(recovery.kind, []).append(recovery)
        for kind, found in sorted(by_kind.items()):
            taken = [recovery.seconds for recovery in found]
            lines.append(
                f"  {kind}: {len(found)} rounds, median {median(taken):.1f}, longest {max(taken):.1f}, "
                f"bound {found[0].bound:g}"
            )
        lines.append(f"violations: {len(self.violations)}")
        lines += [f"  {violation}" for violation in self.violations]
        lines += [f"late: {len(self.late)}", *(f"  {one}" for one in self.late)]
        return "\n".join(lines)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
