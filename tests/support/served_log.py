"""What the serving core answers from the state of a played log."""

from typing import Any

from app.core import serving
from app.core.catalogue import UNKNOWN
from app.core.exploration import EMPTY_POOL
from app.core.needs import CardsOf, FallbackOf, Need, RankingInputs, RankingInputsFor
from app.core.played_log import PlayedLog
from app.core.recommendation import RecommendationRequest
from app.core.rules import NO_RULES
from app.core.weights import Weights
from tests.support.serving_store import answer


def as_served(log: PlayedLog, user_id: str, weights: Weights, now_ms: int, k: int) -> list[str]:
    def fetch(need: Need) -> Any:
        match need:
            case RankingInputsFor():
                near = {item_id: log.neighbours(item_id, now_ms) for item_id in need.seeds}
                return RankingInputs(near, log.popular(now_ms), weights, "weights-1", NO_RULES, EMPTY_POOL)
            case CardsOf():
                return dict.fromkeys(need.item_ids, UNKNOWN)
            case FallbackOf():
                return log.fallback()
        raise TypeError(need)

    request = RecommendationRequest(k=k, now_ms=now_ms)
    found = answer(serving.for_user(log.history(user_id), request, table=log.table), fetch)
    return [item.item_id for item in found.items]
