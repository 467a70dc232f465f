"""The container's health check: exit code 0 when `/readyz` answers 200. Only the standard library, to cost little."""

import os
import sys
from urllib.error import URLError
from urllib.request import urlopen

try:
    urlopen(f"http://127.0.0.1:{os.environ.get('HTTP_PORT') or 8080}/readyz", timeout=3).close()
except (URLError, OSError) as error:
    sys.exit(f"not ready: {error}")
