"""What is wrong with the files that the URL of Redis names."""

from collections.abc import Mapping
from typing import Any

from app.certificates import fault_of_authorities, fault_of_client
from app.core.redis_url import address_of


def faults(values: Mapping[str, Any]) -> list[str]:
    """`values`: the settings that are given. Reads the certificates, so that a wrong file is told at the start."""
    url = values.get("online_cache_redis_url")
    tls = (address_of(url).tls if url and values.get("online_cache_enabled", True) else None) or {}
    certificate, key = tls.get("ssl_certfile", ""), tls.get("ssl_keyfile", "")
    errors = []
    if (authorities := tls.get("ssl_ca_certs")) and (fault := fault_of_authorities(authorities)):
        errors.append(f"ssl_ca_certs: {fault}")
    if certificate and (fault := fault_of_client(certificate, key, tls.get("ssl_password", ""))):
        errors.append(f"ssl_certfile, ssl_keyfile, ssl_password: {fault}")
    if key and not certificate:
        errors.append("ssl_keyfile: needs ssl_certfile, the client's certificate")
    return [f"ONLINE_CACHE_REDIS_URL=(hidden): {error}" for error in errors]
