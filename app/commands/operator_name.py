"""Who runs the command, for what is kept of it."""

import getpass
import os


def operator() -> str:
    """The operator's name, which is stored with the action."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"uid {os.getuid()}"
