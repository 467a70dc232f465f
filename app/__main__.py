"""`python -m app` is `reco serve`."""

import sys

from app.cli import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]], prog_name="python -m app")
