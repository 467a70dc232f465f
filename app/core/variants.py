"""Variants: a share of the users is ranked with other weights; each user always gets the same variant.

A user's position is a hash of the experiment's name and the user's id, uniform over [0, 1). Each variant owns a part of
that range, and `control` owns the rest. Method: D. Tang, A. Agarwal, D. O'Brien, M. Meyer, "Overlapping
Experiment Infrastructure", KDD 2010.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import fsum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, structs

from app.core.field_errors import FieldError
from app.core.history import MAX_ITEMS
from app.core.model import MODEL, Model
from app.core.signals import DAY_MS
from app.core.weights import FEATURES, FIXED, SIZES, WeightRows

CONTROL_NAME: Final = "control"
PREVIEW_NAME: Final = "preview"
"""The variant named in an answer that an operator asked for: it does not count for the experiment."""

MAX_VARIANTS: Final = 20

NAME_EXPECTED: Final = "expected 1 to 32 of a-z, 0-9, - and _, starting with a letter or digit"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_RESERVED: Final = (CONTROL_NAME, PREVIEW_NAME)
_FIELDS: Final = ("name", "share", "weights", "model")
# 48 bits: every hash is a distinct float below 1.
_HASH_BYTES: Final = 6
_HASHES: Final = 2.0 ** (8 * _HASH_BYTES)
# Decimal shares that sum to 1 need not do so in binary.
_ROUNDING: Final = 1e-9

_Weight = Annotated[float, Meta(ge=-20.0, le=20.0)]
_Above0 = Annotated[float, Meta(gt=0.0, le=1_000.0)]

CONSTANTS: Final[Mapping[str, Any]] = {
    "seeds": Annotated[int, Meta(ge=0, le=MAX_ITEMS)],
    "recency": Annotated[float, Meta(gt=0.0, le=1.0)],
    "absence_fresh": _Above0,
    "absence_stale": _Above0,
    "stale_after_ms": Annotated[int, Meta(ge=1, le=365 * DAY_MS)],
}
"""The fields of `Model` that a variant may change: those that are read when a list is made for a user. The others shape
what is counted and kept for everybody."""

_A_WEIGHT: Final = f"a number from -20 to 20, or {len(SIZES)} of them, one for each size of history"


class Variant(Struct, frozen=True):
    """`share` of the users, 0 to 1, is ranked by `model` and `weights`, or by those of a `version`; neither: by those
    that serve all users.
    """

    name: str
    share: float
    model: Model
    weights: WeightRows | None = None
    version: int | None = None

    def __str__(self) -> str:
        changed = [
            f"{name}={value}" for name in CONSTANTS if (value := getattr(self.model, name)) != getattr(MODEL, name)
        ]
        if self.version is not None:
            changed.append(f"model={self.version}")
        if self.weights is not None:
            for name, now, fixed in zip(FEATURES, zip(*self.weights, strict=True), FIXED.T.tolist(), strict=True):
                if list(now) != fixed:
                    changed.append(f"{name}={','.join(f'{weight:g}' for weight in now)}")
        return " ".join((f"{self.name}:{self.share:g}", *changed))


CONTROL: Final = Variant(CONTROL_NAME, 1.0, MODEL)


class Variants:
    """Assigns users to variants. False without any variant; then all users are control.

    The first variant owns the lower end of the range, the second the upper end, and so on towards the middle. So the
    last two of the list may grow, and new ones may be added at the end, and only users of control move.
    """

    def __init__(self, experiment: str, variants: Sequence[Variant], buckets: Sequence[str] = ()) -> None:
        """`buckets`: the owner of each equal part of the range by name, which then decides in place of the shares."""
        self._salt = experiment.encode("utf-8", "surrogatepass") + b"\0"
        self._parts = list(_in_buckets(variants, buckets) if buckets else _parts(variants))
        self._by_name = {variant.name: variant for variant in (*variants, CONTROL)} if variants else {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    def of(self, user_id: str) -> Variant:
        """The user's variant, or `CONTROL`."""
        if not self._parts:
            return CONTROL
        digest = hashlib.blake2b(
            self._salt + user_id.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES
        ).digest()
        place = int.from_bytes(digest, "big") / _HASHES
        return next((variant for low, high, variant in self._parts if low <= place < high), CONTROL)

    def named(self, name: str) -> Variant | None:
        """The variant of that name, `control` included; None when there is none, or no variants at all."""
        return self._by_name.get(name)


def _parts(variants: Sequence[Variant]) -> Iterator[tuple[float, float, Variant]]:
    low, high = 0.0, 1.0
    for index, variant in enumerate(variants):
        if index % 2 == 0:
            yield low, low + variant.share, variant
            low += variant.share
        else:
            yield high - variant.share, high, variant
            high -= variant.share


def _in_buckets(variants: Sequence[Variant], buckets: Sequence[str]) -> Iterator[tuple[float, float, Variant]]:
    by_name = {variant.name: variant for variant in (*variants, CONTROL)}
    end = 0
    for owner, run in groupby(buckets):
        start, end = end, end + len(list(run))
        yield start / len(buckets), end / len(buckets), by_name.get(owner, CONTROL)


NO_VARIANTS: Final = Variants("", ())


def parse(text: str) -> tuple[Variant, ...]:
    """From JSON such as `[{"name": "bolder", "share": 0.1, "weights": {"newness": 0.5}}]`. A variant that names weights
    of features is ranked by fixed weights: these, and `weights.FIXED` for the rest. One that names a `model` is ranked
    by the weights of that version.

    Raises `ValueError` that names every error, its path, and what is allowed.
    """
    try:
        entries = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(entries, list) or len(entries) > MAX_VARIANTS:
        raise ValueError(f'expected a list of at most {MAX_VARIANTS} objects {{"name", "share", "weights", "model"}}')
    found, errors = checked(entries, "$")
    if errors:
        raise ValueError("; ".join(f"{error.path}: {error.message}" for error in errors))
    return found


def checked(entries: Sequence[Any], path: str, most: float = 1.0) -> tuple[tuple[Variant, ...], list[FieldError]]:
    """The variants as far as they are valid, and what is wrong with them; `path`: where they are; `most`: the greatest
    sum of their shares.
    """
    errors: list[FieldError] = []
    found = [_variant(entry, f"{path}[{index}]", errors) for index, entry in enumerate(entries)]
    names = [variant.name for variant in found if variant.name]
    errors += [
        FieldError(path, f"the name {name!r} is given twice") for name in sorted(set(names)) if names.count(name) > 1
    ]
    return tuple(found), errors + share_sum_errors((variant.share for variant in found), most, path)


def share_sum_errors(shares: Iterable[float], most: float, path: str) -> list[FieldError]:
    """What is wrong with the sum of the shares of variants."""
    total = fsum(shares)
    if total <= most + _ROUNDING:
        return []
    return [FieldError(path, f"the shares sum to {total:g}; at most {most:g}: the rest is {CONTROL_NAME}")]


def _variant(entry: Any, path: str, errors: list[FieldError]) -> Variant:
    """The variant as far as it is valid; its errors are added to `errors`."""
    if not isinstance(entry, dict):
        errors.append(FieldError(path, 'expected an object {"name", "share", "weights", "model"}'))
        return Variant("", 0.0, MODEL)
    errors += [
        FieldError(f"{path}.{field}", f"no such field; the fields are {', '.join(_FIELDS)}")
        for field in entry
        if field not in _FIELDS
    ]
    changes = entry.get("weights", {})
    if not isinstance(changes, dict):
        errors.append(FieldError(f"{path}.weights", "expected an object"))
        changes = {}
    constants, weights = _changes(changes, path, errors)
    version = None
    if "model" in entry:
        version = _checked(entry["model"], Annotated[int, Meta(ge=1, le=2**31 - 1)], f"{path}.model", errors)
        if weights:
            errors.append(FieldError(path, "either a model or weights of features, not both"))
    return Variant(
        _name(entry.get("name"), path, errors),
        _checked(entry.get("share"), Annotated[float, Meta(ge=0.0, le=1.0)], f"{path}.share", errors) or 0.0,
        structs.replace(MODEL, **constants),
        _overlaid(weights) if weights else None,
        version,
    )


def _overlaid(weights: Mapping[str, tuple[float, ...]]) -> WeightRows:
    found = FIXED.copy()
    for name, values in weights.items():
        found[:, FEATURES.index(name)] = values
    return tuple(tuple(row) for row in found.tolist())


def is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.match(value) is not None


def _name(value: Any, path: str, errors: list[FieldError]) -> str:
    if not is_name(value):
        errors.append(FieldError(f"{path}.name", NAME_EXPECTED))
        return ""
    if value in _RESERVED:
        errors.append(FieldError(f"{path}.name", f"{value!r} is reserved; any name but {' and '.join(_RESERVED)}"))
    return str(value)


def _changes(
    changes: Mapping[str, Any], path: str, errors: list[FieldError]
) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    """The constants and the weights of features that a variant changes."""
    constants: dict[str, float] = {}
    weights: dict[str, tuple[float, ...]] = {}
    for name, value in changes.items():
        where = f"{path}.weights.{name}"
        if name in CONSTANTS:
            if (constant := _checked(value, CONSTANTS[name], where, errors)) is not None:
                constants[name] = constant
        elif name in FEATURES:
            values = value if isinstance(value, list) else [value] * len(SIZES)
            found = [_checked(one, _Weight, where, errors) for one in values]
            if len(found) != len(SIZES):
                errors.append(FieldError(where, f"expected {_A_WEIGHT}"))
            elif None not in found:
                weights[name] = tuple(found)
        else:
            known = ", ".join((*FEATURES, *CONSTANTS))
            errors.append(FieldError(where, f"not a weight that acts on an answer; those are {known}"))
    return constants, weights


def _checked(value: Any, kind: Any, path: str, errors: list[FieldError]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        errors.append(FieldError(path, str(error)))
        return None
