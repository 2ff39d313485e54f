"""Put a run's last checkpoint into the package, to be restored by ``--checkpoint=stiid://NAME``.

    python -m experiments.release NAME --workdir=runs/quickstart

The whole checkpoint is copied, but for what it says of the machine: the folder that it was written
to, that of generated data, and those of files of data, of which the last part stays. A model of
that name is replaced.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from stiid.data.options import PLACES
from stiid.files import atomic_directory
from stiid.training import digest
from stiid.training.checkpoints import RELEASED, RELEASES, Checkpoints


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=RELEASES, help="of all released models")
    options = parser.parse_args(argv)
    directory = options.workdir.resolve() / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        step = checkpoints.choose("latest")
    target = options.folder / options.name
    with atomic_directory(target) as unfinished:
        shutil.copytree(directory / str(step), unfinished / str(step))
        for mark in unfinished.rglob("commit_success.txt"):
            mark.write_text("complete\n", encoding="utf-8")
        config = unfinished / str(step) / "config" / "metadata"
        content = json.loads(config.read_text(encoding="utf-8"))
        content["data"]["data_dir"] = "~/.cache/stiid"
        options_ = content["data"]["options"]
        for name in options_.keys() & PLACES:
            options_[name] = Path(options_[name]).name
        digest.change_json(unfinished / str(step), "config", content)
    print(f"{RELEASED}{options.name}: step {step} of {options.workdir}")


if __name__ == "__main__":
    main()
