"""Put a run's last checkpoint into the package, as ``--checkpoint=stiid://NAME``.

    python -m experiments.release NAME --workdir=runs/quickstart

Only parameters and config are written. Of paths in the config, only the last part is kept, and the
folder of generated data is left out. An older model with that name is replaced.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stiid.config.experiment import Data, Experiment
from stiid.data.options import PLACES
from stiid.training.locate import RELEASED, RELEASES
from stiid.training.released import write_release
from stiid.training.restore import restore_model
from stiid.typed_config import to_dict


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--checkpoint", default="latest", help="or best")
    parser.add_argument("--folder", type=Path, default=RELEASES, help="of all released models")
    options = parser.parse_args(argv)
    experiment, state, _ = restore_model(None, options.workdir, options.checkpoint)
    write_release(
        options.folder / options.name,
        step=int(state.step),
        params=state.params,
        config=portable(experiment),
    )
    print(f"{RELEASED}{options.name}: step {int(state.step)} of {options.workdir}")


def portable(experiment: Experiment) -> dict[str, Any]:
    """Remove this machine's paths from a config."""
    config: dict[str, Any] = to_dict(experiment)
    config["data"]["data_dir"] = Data.data_dir
    places = config["data"]["options"]
    for name in places.keys() & PLACES:
        places[name] = Path(places[name]).name
    return config


if __name__ == "__main__":
    main()
