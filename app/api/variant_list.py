"""The variants of the experiment that this service runs."""

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from app.core.variants import Variants
from app.http import schema
from app.http.responses import reply


class NamedVariant(Struct):
    name: str


class VariantList(Struct):
    """`control` last; none without `VARIANTS`."""

    variants: list[NamedVariant]


def handlers(variants: Variants) -> list[HTTPRouteHandler]:
    @get("/variants", opt=schema.call(needs="operate", tag="recommendations", answers={200: VariantList}))
    async def get_variants() -> ASGIApp:
        """The variants that `/reco?variant=` previews."""
        return reply(VariantList([NamedVariant(name) for name in variants.names]))

    return [get_variants]
