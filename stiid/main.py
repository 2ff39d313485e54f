"""Command line: ``python -m stiid.main --config=configs/NAME.py --workdir=DIR [--mode=…]``."""

from stiid.cli import streams
from stiid.training import signals

streams.open_standard_streams()
signals.obey()  # before the slow imports that follow

from absl import flags  # noqa: E402

from stiid.cli import main  # noqa: E402
from stiid.cli.main import cli  # noqa: E402

flags.adopt_module_key_flags(main)

if __name__ == "__main__":
    cli()
