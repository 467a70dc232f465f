"""What is wrong with the settings of Kafka's security, each fault by the name of its setting."""

from collections.abc import Container, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from app.certificates import fault_of_authorities, fault_of_client

_OAUTH: Final = (
    "kafka_oauth_token_file",
    "kafka_oauth_token_url",
    "kafka_oauth_client_id",
    "kafka_oauth_client_secret",
    "kafka_oauth_scope",
)
_LOGIN: Final = ("kafka_sasl_username", "kafka_sasl_password")
_TLS: Final = ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile", "kafka_ssl_key_password")


def faults(values: Mapping[str, Any], wrong: Container[str]) -> list[str]:
    """`values`: the settings that are given; `wrong`: those whose value is not usable. Reads the certificates, so that
    a wrong file is told at the start.
    """
    if "kafka_security_protocol" in wrong or "kafka_sasl_mechanism" in wrong:
        return []  # which of the others belong to them is not known
    given = {name: str(values.get(name) or "") for name in (*_OAUTH, *_TLS, *_LOGIN)}
    protocol = values.get("kafka_security_protocol", "PLAINTEXT")
    oauth = values.get("kafka_sasl_mechanism") == "OAUTHBEARER"
    errors = []
    if protocol.startswith("SASL"):
        errors += _oauth(given) if oauth else _password(given)
    else:
        errors += [f"{name.upper()}: used with KAFKA_SECURITY_PROTOCOL=SASL_* only" for name in _LOGIN if given[name]]
    if not (oauth and protocol.startswith("SASL")):
        errors += [
            f"{name.upper()}: used with KAFKA_SECURITY_PROTOCOL=SASL_* and KAFKA_SASL_MECHANISM=OAUTHBEARER only"
            for name in _OAUTH
            if given[name]
        ]
    return errors + _certificates(given, uses_tls=protocol.endswith("SSL"))


def _password(given: Mapping[str, str]) -> list[str]:
    if given["kafka_sasl_username"] and given["kafka_sasl_password"]:
        return []
    return ["KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD: needed by KAFKA_SECURITY_PROTOCOL=SASL_*"]


def _oauth(given: Mapping[str, str]) -> list[str]:
    url, file = given["kafka_oauth_token_url"], given["kafka_oauth_token_file"]
    if bool(url) == bool(file):
        return ["KAFKA_OAUTH_TOKEN_URL, KAFKA_OAUTH_TOKEN_FILE: KAFKA_SASL_MECHANISM=OAUTHBEARER needs one of the two"]
    if file:
        return []
    errors = [
        f"{name.upper()}: needed by KAFKA_OAUTH_TOKEN_URL"
        for name in ("kafka_oauth_client_id", "kafka_oauth_client_secret")
        if not given[name]
    ]
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        valid = False
    return errors if valid else [*errors, "KAFKA_OAUTH_TOKEN_URL: expected https://host/path, without a login"]


def _certificates(given: Mapping[str, str], *, uses_tls: bool) -> list[str]:
    certificate, key = given["kafka_ssl_certfile"], given["kafka_ssl_keyfile"]
    errors = [
        f"{name.upper()}: used with KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL only"
        for name in ("kafka_ssl_cafile", "kafka_ssl_certfile")
        if given[name] and not uses_tls
    ]
    errors += [
        f"{name.upper()}: needs KAFKA_SSL_CERTFILE, the client's certificate"
        for name in ("kafka_ssl_keyfile", "kafka_ssl_key_password")
        if given[name] and not certificate
    ]
    if not uses_tls:
        return errors
    if (authorities := given["kafka_ssl_cafile"]) and (fault := fault_of_authorities(authorities)):
        errors.append(f"KAFKA_SSL_CAFILE: {fault}")
    if certificate and (fault := fault_of_client(certificate, key, given["kafka_ssl_key_password"])):
        errors.append(f"KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE, KAFKA_SSL_KEY_PASSWORD: {fault}")
    return errors
