"""Command line: ``python -m stiid.main --config=configs/NAME.py --workdir=DIR [--mode=…]``."""

from stiid.cli import streams
from stiid.progress import waiting
from stiid.training import signals

streams.open_standard_streams()
signals.obey()  # before the slow imports that follow

with waiting("Loading JAX"):
    from absl import flags

    from stiid.cli import main
    from stiid.cli.main import cli

flags.adopt_module_key_flags(main)

if __name__ == "__main__":
    cli()
