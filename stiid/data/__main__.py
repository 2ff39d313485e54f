"""Data sets from the command line: ``python -m stiid.data list | prepare | verify | preview``."""

import sys

from stiid.cli.data import main

if __name__ == "__main__":
    sys.exit(main())
