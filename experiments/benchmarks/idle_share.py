"""Measure how long devices wait for data in training.

    python -m experiments.benchmarks.idle_share [--configs quickstart …] [--output FILE.json]

It runs the training loop's order (the next batch is requested while devices work on the last one),
in turns with clips from the config's pipeline and with one batch that is repeated. The difference
is the time that devices wait. It needs the config's data; generated data are generated.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks.updates import experiment_of, named_config
from stiid import parallel
from stiid.data import registry
from stiid.data.pipeline import train_iterator
from stiid.files import write_json
from stiid.training import devices
from stiid.training.processes import Processes
from stiid.training.update import init_state, learning_rates, make_update


def measure(name: str, updates: int, turns: int) -> dict[str, float]:
    experiment = experiment_of(named_config(name))
    (stage,), data = experiment.train.stages.values(), experiment.data
    folder = str(Path(data.data_dir).expanduser())
    source = registry.load(data.name, "train", data_dir=folder, **data.options)
    system = experiment.model.build(source[0]["video"].shape[1:])
    update = make_update(experiment, system)
    state = parallel.replicate(jax.jit(lambda: init_state(experiment, system))())
    rows = parallel.shard(parallel.global_rows(stage.batch_size))
    rate = learning_rates(experiment)[0]
    pipeline = train_iterator(
        source,
        batch_size=stage.batch_size,
        num_frames=stage.num_frames,
        max_frames=data.max_frames,
        seed=0,
    )
    batch = next(pipeline)

    def same() -> Iterator[Any]:
        while True:
            yield batch

    def run(batches: Iterator[Any]) -> float:
        nonlocal state
        begin = time.perf_counter()
        for _ in range(updates):
            video = parallel.shard(next(batches)["video"])
            state, metrics = update(state, video, rows, rate)
        jax.block_until_ready((state, metrics))
        return time.perf_counter() - begin

    run(pipeline)
    pairs = [(run(pipeline), run(same())) for _ in range(turns)]
    return {
        "updates_per_second": round(updates / statistics.median(a for a, _ in pairs), 2),
        "idle_share": round(statistics.median(1.0 - b / a for a, b in pairs), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=["quickstart"])
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    stages = [
        stage for name in options.configs for stage in named_config(name).train.stages.values()
    ]
    sizes = [stage.batch_size for stage in stages]
    devices.configure_host_devices(0, batch_sizes=sizes, processes=Processes(1))
    result = {}
    for name in options.configs:
        result[name] = measure(name, options.updates, options.turns)
        print(name, result[name], flush=True)
    if options.output:
        write_json(options.output, result)


if __name__ == "__main__":
    main()
