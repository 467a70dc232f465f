"""Which variant answers a request: the user's own, or the one that an operator asks to see."""

from msgspec import UNSET, Struct, UnsetType

from app.core.decoding import FieldError
from app.core.model import Model
from app.core.variants import PREVIEW_NAME, Variants
from app.http.context import RequestContext
from app.http.problems import ProblemError


class Choice(Struct, frozen=True):
    """`label` is what the answer says of it, and what an impression of the answer is counted under."""

    model: Model
    label: str | UnsetType


def choose(variants: Variants, user_id: str, asked: str | None, request: RequestContext) -> Choice:
    """Raises `ProblemError`: 403 when somebody asks who may not, 404 when there is no such variant."""
    if asked is None:
        variant = variants.of(user_id)
        return Choice(variant.model, variant.name if variants else UNSET)
    if not request.caller_is_admin:
        raise ProblemError(403, f"The API key {request.caller} lacks the scope admin, which `variant` needs.")
    found = variants.named(asked)
    if found is None:
        known = ", ".join(variants.names) or "none: VARIANTS is not set"
        raise ProblemError(404, "There is no such variant.", errors=[FieldError("$.variant", f"there are {known}")])
    return Choice(found.model, PREVIEW_NAME)
