"""What `/metrics` of a running service says in the course of a scripted run: a scrape before and after each step."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import Service

Series = tuple[str, frozenset[tuple[str, str]]]
Scrape = Mapping[Series, float]

_SELECTOR: Final = re.compile(r"\b(reco_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|=)\s*"([^"]*)"')


class Recording:
    """`steps`: by name, the scrapes before and after. `seen`: the greatest value of each series in any scrape."""

    def __init__(self, service: Service) -> None:
        self.steps: dict[str, tuple[Scrape, Scrape]] = {}
        self.seen: dict[Series, float] = {}
        self._service = service

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        before = self.scrape()
        yield
        self.steps[name] = before, self.scrape()

    def scrape(self) -> Scrape:
        found = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self._service.client.get("/metrics").text)
            for sample in family.samples
            if sample.name.startswith("reco_")
        }
        for series, value in found.items():
            self.seen[series] = max(value, self.seen.get(series, 0.0))
        return found

    def values(self, name: str, label: str) -> set[str]:
        """The values of a label in the series of a metric that were above 0 at some time."""
        return {
            value
            for (series, labels), most in self.seen.items()
            if most > 0 and series in (name, f"{name}_count")
            for key, value in labels
            if key == label
        }

    def moved(self, name: str) -> bool:
        """True when a series of the metric was above 0 at some time."""
        return any(most > 0 for (series, _), most in self.seen.items() if series in (name, f"{name}_count"))


def selected(query: str, series: Series) -> bool:
    """True when one of the query's selectors takes the series."""
    name, labels = series
    known = dict(labels)
    for wanted, matchers in selectors(query):
        if wanted == name and all(_matches(known.get(label, ""), how, text) for label, how, text in matchers):
            return True
    return False


def selectors(query: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The metrics that a query asks for, each with its matchers: label, operator, text."""
    return [(name, _MATCHER.findall(matchers)) for name, matchers in _SELECTOR.findall(query)]


def _matches(value: str, how: str, text: str) -> bool:
    return value == text if how == "=" else re.fullmatch(text, value) is not None
