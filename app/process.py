"""The name of this process among those of all hosts."""

import os
import socket


def process_name() -> str:
    """Host and pid, as `api-7f9c-12`. In a container the host is the container's or the pod's name."""
    return f"{socket.gethostname()}-{os.getpid()}"
