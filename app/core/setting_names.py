"""Which variables of the environment are settings, and which only look like one."""

import difflib
import re
from collections.abc import Collection, Mapping

# An unknown variable with one of these prefixes is a typing error, which must not be ignored silently.
_OWN_PREFIXES = (
    "OUTBOX_",
    "FEATURE_CONSUMER_",
    "ONLINE_CACHE_",
    "INGEST_",
    "RETENTION_",
    "API_KEYS",
    "BROWSER_",
    "USER_TOKEN_",
    "RATE_LIMIT_",
    "RANKING_",
    "SEGMENT_",
    "CORS_",
)


# How alike an unknown variable and a setting are (difflib's ratio) behind such a prefix for the setting to be offered;
# and as a whole, for a variable without one to be taken for a typing error: HTTP_PROT and HTTP_PORT are at 0.88,
# HTTP_PROXY at 0.71.
_NEAR = 0.6
_VERY_NEAR = 0.82

# Kubernetes puts the addresses of a namespace's services into each container: those of one named `outbox-relay` are
# OUTBOX_RELAY_SERVICE_HOST, OUTBOX_RELAY_PORT=tcp://10.0.0.1:80, OUTBOX_RELAY_PORT_80_TCP_ADDR and so on.
_INJECTED_NAME = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)"
)
_INJECTED_PORT = re.compile(r"(tcp|udp|sctp)://")


def is_injected(name: str, text: str) -> bool:
    """Whether Kubernetes put the variable there for a service that is named like a setting."""
    return bool(_INJECTED_NAME.fullmatch(name) or (name.endswith("_PORT") and _INJECTED_PORT.match(text)))


def _words(name: str) -> tuple[str, ...]:
    """The words of a name, in any case and order, without ours in front: RECO_LOG_LEVEL, event_retention_days."""
    return tuple(sorted(name.upper().removeprefix("RECO_").split("_")))


def misspelt(environ: Mapping[str, str], settings: Collection[str]) -> list[str]:
    """What is wrong with variables that are probably meant to be one of these settings."""
    known = {name.replace("_", "").upper(): name.upper() for name in settings}
    same_words = {_words(name): name.upper() for name in settings}
    errors = []
    for name in sorted(set(environ) - set(known.values())):
        if meant := same_words.get(_words(name)):
            errors.append(f"{name}: no such setting; did you mean {meant}?")
            continue
        own = name.startswith(_OWN_PREFIXES)
        if not own and any(name.startswith(f"{setting}_") for setting in known.values()):
            continue  # another program's, such as DATABASE_URL_TEST
        near = difflib.get_close_matches(name.replace("_", ""), known, n=1, cutoff=_VERY_NEAR)
        if near:
            errors.append(f"{name}: no such setting; did you mean {known[near[0]]}?")
        elif own:
            errors.append(f"{name}: no such setting{_guess(name, known.values())}")
    return errors


def _guess(name: str, settings: Collection[str]) -> str:
    """The setting with our prefix that is meant, by what differs behind it; else all of that prefix."""
    prefix = next(prefix for prefix in _OWN_PREFIXES if name.startswith(prefix))
    behind = {setting.removeprefix(prefix): setting for setting in sorted(settings) if setting.startswith(prefix)}
    if near := difflib.get_close_matches(name.removeprefix(prefix), behind, n=1, cutoff=_NEAR):
        return f"; did you mean {behind[near[0]]}?"
    return f"; there are {', '.join(behind.values())}"
