"""An example of each body, for the OpenAPI document. A test decodes and validates every one of them."""

from typing import Any, Final

from app.api import (
    attributes,
    event_bodies,
    event_results,
    event_types,
    experiment_bodies,
    item_bodies,
    item_list,
    merging,
    posted_lists,
    reco_batch,
    recommendations,
    rule_history,
    rule_preview,
    rules,
    sample_size,
    segment,
)
from app.api.segment_messages import SegmentAnswer
from app.core import events
from app.core.experiments import ExperimentBody
from app.http.problems import Problem
from app.ingest.segment import SegmentMessage

_WHO: Final = {"user_id": "user-17", "session_id": "session-4"}
_WATCH: Final = {"event_id": "018f8e2c-watch-1", **_WHO, "item_id": "film-204", "watch_time_sec": 512.5}
_CLICK: Final = {"event_id": "018f8e2c-click-1", **_WHO, "request_id": "req-9", "item_id": "film-31"}
_VIEWED: Final = {
    "type": "track",
    "messageId": "018f8e2c-message-1",
    "userId": "user-17",
    "event": "Product Viewed",
    "properties": {"product_id": "tent"},
    "timestamp": "2026-12-01T09:30:00.000Z",
}

EXAMPLES: Final[dict[type, Any]] = {
    events.Watch: {**_WATCH, "percent_watched": 85.0, "ended": True},
    events.Impression: {
        "event_id": "018f8e2c-shown-1",
        **_WHO,
        "request_id": "req-9",
        "items": [{"item_id": "film-204", "position": 0}, {"item_id": "film-31", "position": 1}],
    },
    events.View: {"event_type": "view", **_CLICK},
    events.Click: {"event_type": "click", **_CLICK},
    events.Purchase: {"event_type": "purchase", **_CLICK, "value": 59.9, "currency": "EUR", "quantity": 2},
    events.Action: {"event_type": "rating", **_CLICK, "rating": 4},
    events.Cancellation: {"event_type": "cancel", **_WHO, "cancels": "018f8e2c-click-1"},
    event_types.EventTypeBody: {"weight": 0.6, "meaning": "interest"},
    event_bodies.EventBatch: {"events": [{"event_type": "watch", **_WATCH}, {"event_type": "click", **_CLICK}]},
    event_results.EventResult: {"event_id": "018f8e2c-watch-1", "status": "accepted"},
    event_results.EventBatchResult: {
        "accepted": 1,
        "duplicate": 0,
        "conflict": 0,
        "invalid": 1,
        "results": [
            {"status": "accepted", "event_id": "018f8e2c-watch-1"},
            {
                "status": "invalid",
                "event_id": None,
                "errors": [{"path": "$.item_id", "message": "Object missing required field `item_id`"}],
            },
        ],
    },
    SegmentMessage: _VIEWED,
    segment.SegmentBatch: {"batch": [_VIEWED], "sentAt": "2026-12-01T09:30:01.000Z"},
    SegmentAnswer: {
        "success": True,
        "accepted": 1,
        "duplicate": 0,
        "conflict": 0,
        "unmapped": 0,
        "invalid": 0,
        "errors": [],
    },
    recommendations.RecommendationList: {
        "request_id": "req-9",
        "items": [{"item_id": "film-31", "score": 0.731, "source": "covisitation", "title": "Stalker"}],
        "model_version": "weights-1",
        "strategy": "covisitation",
    },
    posted_lists.RecoBody: {
        "history": [{"item_id": "film-204", "event_type": "watch"}, {"item_id": "film-31"}],
        "k": 10,
        "exclude": ["film-8"],
    },
    merging.MergeBody: {"anonymous_id": "visitor-4f1c"},
    merging.UserLink: {
        "anonymous_id": "visitor-4f1c",
        "user_id": "user-17",
        "linked_at": "2026-12-01T09:30:00Z",
        "undo_until": "2026-12-02T09:30:00Z",
    },
    reco_batch.RecoBatch: {"user_ids": ["user-17", "user-18"], "k": 5},
    posted_lists.RankBody: {"user_id": "user-17", "items": ["film-8", "film-31", "film-77"]},
    posted_lists.RankedList: {
        "request_id": "req-9",
        "items": [{"item_id": "film-31", "score": 1.0, "source": "covisitation", "title": "Stalker"}],
        "left_out": ["film-77"],
        "model_version": "weights-1",
    },
    ExperimentBody: {
        "name": "fresh-front-page",
        "hypothesis": "Newer films bring more clicks, and nobody watches less.",
        "variants": [{"name": "newer", "share": 0.5, "weights": {"newness": 0.5}}],
        "primary": "ctr",
        "guards": ["watch_time"],
    },
    experiment_bodies.ExperimentShares: {"shares": {"newer": 0.25}},
    experiment_bodies.ExperimentEnd: {"conclusion": "4 % more clicks: the weights become the default."},
    sample_size.SampleSizeBody: {"metric": "conversion", "baseline": 0.05, "minimum_effect": 0.1, "users_by_day": 5000},
    attributes.AttributeBody: {"type": "number"},
    attributes.Attribute: {"name": "price", "type": "number", "created_at": "2026-12-01T09:30:00Z"},
    item_bodies.CatalogueItemInput: {
        "title": "A tent",
        "categories": ["camping"],
        "attributes": {"price": 149.0, "in stock": True, "shop": {"lat": 52.5, "lon": 13.4}},
    },
    item_bodies.CatalogueItemPatch: {"hidden": False, "attributes": {"price": 129.0, "in stock": None}},
    item_list.ItemsToDelete: {"item_ids": ["tent", "stove"]},
    item_list.ItemsDeleted: {"deleted": 1, "absent": ["stove"]},
    rule_preview.RulePreviewBody: {
        "rule": {"action": "boost", "tag": "clearance", "factor": 0.5},
        "user_id": "user-17",
        "k": 3,
    },
    rule_history.UndoneRule: {"change_id": 17},
    rules.PinRule: {"action": "pin", "item_id": "film-204", "position": 1, "ends_at": "2027-01-01T00:00:00Z"},
    rules.BoostRule: {"action": "boost", "tag": "clearance", "factor": 0.5, "note": "sell what is left"},
    rules.Rule: {
        "rule_id": "premiere",
        "action": "pin",
        "item_id": "film-204",
        "category": None,
        "tag": None,
        "position": 1,
        "factor": None,
        "within": None,
        "starts_at": None,
        "ends_at": "2027-01-01T00:00:00Z",
        "note": None,
        "active": True,
        "updated_at": "2026-12-01T09:30:00Z",
    },
    Problem: {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "code": "invalid",
        "detail": "The request is not valid.",
        "request_id": "0f8fad5bd9cb469fa16570867728950e",
        "errors": [{"path": "$.watch_time_sec", "message": "Expected `float` >= 0.0"}],
    },
}
