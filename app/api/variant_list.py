"""The variants that users are served with now."""

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from app.http import schema
from app.http.responses import reply
from app.serving.running_experiments import RunningExperiments


class NamedVariant(Struct):
    name: str


class VariantList(Struct):
    """`control` last; none while no experiment runs."""

    variants: list[NamedVariant]


def handlers(running: RunningExperiments) -> list[HTTPRouteHandler]:
    @get("/variants", opt=schema.call(needs="operate", tag="recommendations", answers={200: VariantList}))
    async def get_variants() -> ASGIApp:
        """The variants that `/reco?variant=` previews."""
        layer = await running.of("reco")
        return reply(VariantList([NamedVariant(name) for name in layer.variants.names]))

    return [get_variants]
