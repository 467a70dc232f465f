"""The weights of the versions that serve in this process: the one that all users get, and those that variants name."""

from collections.abc import Mapping
from typing import Final

import structlog
from msgspec import Struct

from app import metrics
from app.adapters import ranking_models
from app.adapters.read_replica import ReadSource
from app.core.named_weights import NamedWeights, from_named
from app.core.weights import Weights
from app.serving.fresh_cache import FreshCache

_log = structlog.get_logger(__name__)

_SERVED: Final = "served"
# The change feed announces each new version and what serves; this is for a process that missed it.
_TTL_SEC: Final = 30.0
_MAX_VERSIONS: Final = 32


class Version(Struct, frozen=True):
    """`name`: as answers call it."""

    name: str
    rows: NamedWeights
    weights: Weights


class ModelWeights:
    """Each version has one array as long as its numbers are the same, so that what is computed from it is kept."""

    def __init__(self, database: ReadSource) -> None:
        self._database = database
        self._known: dict[str, Version] = {}
        self._cache: FreshCache[Version | None] = FreshCache(
            "models", self._load, absent=None, ttl_sec=_TTL_SEC, max_keys=_MAX_VERSIONS
        )

    async def of(self, version: int | None) -> Version:
        """Of a version; None: of the one that serves, which also stands in for one that does not exist (any more).

        Raises `DependencyDown` when they have never been read and cannot be.
        """
        found = None if version is None else await self._cache.get(str(version))
        found = found or await self._cache.get(_SERVED)
        assert found is not None
        return found

    async def has(self, version: int) -> bool:
        """Raises `DependencyDown` when that has never been read and cannot be."""
        return await self._cache.get(str(version)) is not None

    def outdate_all(self) -> None:
        """Another version may serve now, and one that did not exist may exist."""
        self._cache.outdate_all()

    async def close(self) -> None:
        await self._cache.close()

    async def _load(self, keys: list[str]) -> Mapping[str, Version | None]:
        async with self._database.connection() as connection:
            served = await ranking_models.read_served(connection)
            rows = {_SERVED: (served.version, served.weights)}
            if versions := [int(key) for key in keys if key != _SERVED]:
                found = await ranking_models.read_weights(connection, versions)
                rows |= {str(version): (version, weights) for version, weights in found.items()}
        metrics.RANKING_VERSION.set(served.version)
        for key in keys:
            if key not in rows:
                _log.warning("model_missing", version=key, detail="users of a variant that names it get what serves")
        return {key: self._version(key, *rows[key]) for key in keys if key in rows}

    def _version(self, key: str, version: int, rows: NamedWeights) -> Version:
        known, name = self._known.get(key), f"weights-{version}"
        if known is None or known.name != name or known.rows != rows:
            known = self._known[key] = Version(name, rows, from_named(rows))
        return known
