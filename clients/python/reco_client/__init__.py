"""A client of Reco: sends events in the background and asks for recommendations."""

from reco_client.aio import AsyncClient
from reco_client.buffer import BufferFull
from reco_client.calls import ApiError, StateChanged
from reco_client.catalogue import ItemVersion
from reco_client.delivery import Counts, Options, Refused
from reco_client.models import (
    Action,
    Cancellation,
    CatalogueBatchItem,
    CatalogueItem,
    CatalogueItemInput,
    Click,
    Event,
    Impression,
    Purchase,
    RecommendationList,
    RecommendedItem,
    ShownItem,
    View,
    Watch,
)
from reco_client.sync import Client
from reco_client.tokens import sign_user_token

__all__ = [
    "Action",
    "ApiError",
    "AsyncClient",
    "BufferFull",
    "Cancellation",
    "CatalogueBatchItem",
    "CatalogueItem",
    "CatalogueItemInput",
    "Click",
    "Client",
    "Counts",
    "Event",
    "Impression",
    "ItemVersion",
    "Options",
    "Purchase",
    "RecommendationList",
    "RecommendedItem",
    "Refused",
    "ShownItem",
    "StateChanged",
    "View",
    "Watch",
    "sign_user_token",
]
