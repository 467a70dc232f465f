"""What is wrong with files of certificates, told at the start instead of with the first connection."""

import ssl


def fault_of_authorities(path: str) -> str | None:
    """Of a file of certificates that are trusted; None when it can be read."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # ssl.SSLError too
        return f"{_why(error)}; expected a file of certificates in PEM"
    return None


def fault_of_client(certificate: str, key: str, password: str) -> str | None:
    """Of a client's certificate, with its key in a file of its own or without; None when both can be read."""
    try:
        # Without a password, OpenSSL asks for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key or None, password)
    except OSError as error:
        return f"{_why(error)}; expected PEM files, and the password of the key if it has one"
    return None


def _why(error: OSError) -> str:
    return error.strerror or str(error)
