"""The metrics page is the one that the code generates, and names every metric of /metrics."""

from pathlib import Path

from app import metrics, metrics_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_metrics_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == metrics_page.page(), "run scripts/metrics-page"


def test_every_metric_is_on_the_page_with_its_meaning() -> None:
    named = {name: meaning for name, _, _, meaning in metrics_page.rows()}
    exposed = {
        name + ("_total" if kind == "counter" else "")
        for name, kind in ((family.name, family.type) for family in metrics.REGISTRY.collect())
        if name.startswith("reco_")
    }
    assert exposed <= named.keys()
    assert all(named.values())
