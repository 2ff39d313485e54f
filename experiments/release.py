"""Put a run's last checkpoint into the package, to be restored by ``--checkpoint=stiid://NAME``.

    python -m experiments.release NAME --workdir=runs/quickstart

The parameters and the config alone, but for what that says of the machine: the folder of generated
data, and those of files of data, of which the last part stays. A model of that name is replaced.
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
    """The config without what it says of the machine."""
    config: dict[str, Any] = to_dict(experiment)
    config["data"]["data_dir"] = Data.data_dir
    places = config["data"]["options"]
    for name in places.keys() & PLACES:
        places[name] = Path(places[name]).name
    return config


if __name__ == "__main__":
    main()
