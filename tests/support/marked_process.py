"""`python -m tests.support.marked_process MODULE ARGUMENTS`: runs the module, and marks the functions that it enters.

Importing this marks them too: the process that others are forked from does.
"""

import runpy
import sys

from tests.support import marks

marks.mark()

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
