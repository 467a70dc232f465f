"""Chooses the variant of a request: the user's own, or the one that an operator asks for."""

from msgspec import UNSET, Struct, UnsetType

from app.core.field_errors import FieldError
from app.core.model import MODEL, Model
from app.core.variants import PREVIEW_NAME, Variant, Variants
from app.core.weights import Weights, array_of
from app.http.context import RequestContext
from app.http.problems import ProblemError


class Choice(Struct, frozen=True):
    """`label` names the variant in the answer; impressions of the answer count under it."""

    model: Model
    weights: Weights | None
    version: int | None
    label: str | UnsetType


def choose(variants: Variants, user_id: str | None, asked: str | None, request: RequestContext) -> Choice:
    """Somebody without a `user_id` belongs to no variant.

    Raises `ProblemError`: 403 without the scope, 404 when there is no such variant.
    """
    if asked is None:
        if user_id is None:
            return Choice(MODEL, None, None, UNSET)
        variant = variants.of(user_id)
        return _choice(variant, variant.name if variants else UNSET)
    if not request.caller_may_operate:
        raise ProblemError(403, f"The API key {request.caller} lacks the scope operate, which `variant` needs.")
    found = variants.named(asked)
    if found is None:
        known = ", ".join(variants.names) or "none: VARIANTS is not set"
        raise ProblemError(404, "There is no such variant.", errors=[FieldError("$.variant", f"there are {known}")])
    return _choice(found, PREVIEW_NAME)


def _choice(variant: Variant, label: str | UnsetType) -> Choice:
    return Choice(variant.model, None if variant.weights is None else array_of(variant.weights), variant.version, label)
