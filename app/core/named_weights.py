"""Weights by the names of their features, as they are stored: a release with other features reads older rows, too."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from app.core.learning import LARGEST
from app.core.weights import FEATURES, SIZES, START, Weights

NamedWeights: TypeAlias = dict[str, list[float]]
"""Feature → its weight for each of `SIZES`."""

_DIGITS: Final = 6


def named(weights: Weights) -> NamedWeights:
    return {name: column.round(_DIGITS).tolist() for name, column in zip(FEATURES, weights.T, strict=True)}


def complete(rows: Mapping[str, list[float]]) -> NamedWeights:
    """All features of this release as they rank with these rows."""
    return named(from_named(rows))


def from_named(rows: Mapping[str, list[float]], missing: Weights = START) -> Weights:
    """Features that `rows` lacks weigh as in `missing`; those that this release does not have are left out."""
    found = missing.copy()
    for column, name in enumerate(FEATURES):
        if name in rows:
            found[:, column] = rows[name]
    return np.ascontiguousarray(found)


def checked(rows: Any) -> NamedWeights:
    """What a file gives. Raises `ValueError` that names every error, its path, and what is allowed."""
    if not isinstance(rows, dict) or not rows:
        raise ValueError(f'$.weights: expected an object {{"feature": [{len(SIZES)} numbers]}}')
    errors = []
    for name, values in rows.items():
        if name not in FEATURES:
            errors.append(f"$.weights.{name}: no such feature; those are {', '.join(FEATURES)}")
        elif not _fits(values):
            errors.append(
                f"$.weights.{name}: expected {len(SIZES)} numbers from {-LARGEST:g} to {LARGEST:g}, one for each size "
                f"of history: {', '.join(SIZES)}"
            )
    if errors:
        raise ValueError("; ".join(errors))
    return {name: [float(value) for value in values] for name, values in rows.items()}


def _fits(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) == len(SIZES)
        and all(
            isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST for value in values
        )
    )
