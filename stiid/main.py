"""Command line: ``python -m stiid.main --config=configs/NAME.py --workdir=DIR [--mode=…]``."""

from absl import flags

from stiid.cli import main
from stiid.cli.main import cli

flags.adopt_module_key_flags(main)

if __name__ == "__main__":
    cli()
