"""The command ``stiid`` if its script is not on the path: ``python -m stiid.cli COMMAND``."""

import sys

from stiid.cli.console import main

if __name__ == "__main__":
    sys.exit(main())
