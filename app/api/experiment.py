"""Chooses the variant of a request: the user's own, or the variant or model version that an operator asks for."""

import re
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from app.core.experiments import Layer
from app.core.field_errors import FieldError
from app.core.model import MODEL, Model
from app.core.variants import PREVIEW_NAME, Variant
from app.core.weights import Weights, array_of
from app.http.context import RequestContext
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.serving.recommender import Recommender

_MODEL_VERSION: Final = re.compile(r"model-([1-9][0-9]{0,8})")


class Label(Struct, frozen=True):
    """The variant and the experiment in an answer; its impressions count under them."""

    variant: str | UnsetType = UNSET
    experiment: str | UnsetType = UNSET


NO_LABEL: Final = Label()
_PREVIEW: Final = Label(PREVIEW_NAME)


class Choice(Struct, frozen=True):
    """`previews`: the version of the model that was asked for."""

    model: Model
    weights: Weights | None
    version: int | None
    label: Label
    previews: int | None = None


_WITHOUT: Final = Choice(MODEL, None, None, NO_LABEL)


def choose(layer: Layer, user_id: str | None, asked: str | None, request: RequestContext) -> Choice:
    """Somebody without a `user_id` belongs to no variant. `asked`: a variant, or `model-7` for version 7 of the model.

    Raises `ProblemError`: 403 without the scope, 404 when there is no such variant.
    """
    if asked is None:
        if user_id is None or not layer.variants:
            return _WITHOUT
        variant = layer.variants.of(user_id)
        return _choice(variant, Label(variant.name, layer.experiment))
    if not request.caller_may_operate:
        raise ProblemError(
            ProblemCode.MISSING_SCOPE, f"The API key {request.caller} lacks the scope operate, which `variant` needs."
        )
    found = layer.variants.named(asked)
    if found is None and (version := _MODEL_VERSION.fullmatch(asked)) is not None:
        return Choice(MODEL, None, int(version[1]), _PREVIEW, previews=int(version[1]))
    if found is None:
        known = ", ".join(layer.variants.names) or "none: no experiment runs"
        raise ProblemError(
            ProblemCode.NO_SUCH_VARIANT,
            "There is no such variant.",
            errors=[FieldError("$.variant", f"there are {known}; or model-VERSION")],
        )
    return _choice(found, _PREVIEW)


async def check_version(choice: Choice, recommender: Recommender) -> None:
    """Raises `ProblemError` (404) for a preview of a version that does not exist: what serves would stand in for it."""
    if choice.previews is not None and not await recommender.has_version(choice.previews):
        missing = FieldError("$.variant", "GET /models lists the versions that there are")
        raise ProblemError(ProblemCode.NO_SUCH_VERSION, f"There is no version {choice.previews}.", errors=[missing])


def _choice(variant: Variant, label: Label) -> Choice:
    return Choice(variant.model, None if variant.weights is None else array_of(variant.weights), variant.version, label)
