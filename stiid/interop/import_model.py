"""Import of saved models of other implementations: ``--mode=import --input=FILE``."""

import logging
from pathlib import Path

import grain
import jax
import jax.numpy as jnp

from stiid.config.experiment import Experiment
from stiid.config.optimizer import transformation
from stiid.data import registry
from stiid.files import sole_writer
from stiid.interop import provide, pytorch_iodine, squeezenet
from stiid.interop.layers import without_module
from stiid.interop.torch_file import read_state_dict
from stiid.models.spatiotemporal.config import SpatioTemporalConfig
from stiid.paths import local_path
from stiid.training.checkpoints import Checkpoints
from stiid.training.position import Position
from stiid.training.state import TrainState
from stiid.typed_config import to_dict

_LOG = logging.getLogger("stiid")


def import_model(experiment: Experiment | None, workdir: Path, file: str | None) -> None:
    """Write the checkpoint of step 0 from a PyTorch ``state_dict``.

    The file is one of IODINE, of the authors' implementation of the paper, or of torchvision's
    SqueezeNet; the latter initializes the features of a model with ``refiner.squeezenet``. The
    checkpoint can be evaluated and trained further like any other.

    Args:
      experiment: of the config file; it must describe the file's model.
      workdir: of the new run.
      file: path of the file. No code in it is executed, and PyTorch is not needed.

    Raises:
      ValueError, OSError: the file cannot be read, or does not fit the config.
    """
    if experiment is None or file is None:
        raise ValueError("--mode=import needs --config and --input, the file of a saved model")
    if not isinstance(experiment.model, SpatioTemporalConfig):
        raise ValueError(
            f"config.model.family is {experiment.model.family!r}: only configs of the "
            "family 'stiid', such as configs/iodine.py and provide.py, can import a model"
        )
    state = without_module(read_state_dict(local_path(file, "--input")))
    view = registry.view(experiment.data.name, **experiment.data.options)
    shape = (view.height, view.width, view.channels)
    if squeezenet.is_squeezenet(state):
        key = jax.random.key(experiment.seed)
        params = squeezenet.with_squeezenet(state, experiment.model, shape, key)
    elif provide.is_provide(state):
        params = provide.import_params(state, experiment.model, shape)
    else:
        params = pytorch_iodine.import_params(state, experiment.model, shape)
    params = jax.tree.map(jnp.asarray, params)
    with (
        sole_writer(workdir),
        Checkpoints(
            workdir / "checkpoints", best_metric=experiment.train.best_metric
        ) as checkpoints,
    ):
        if checkpoints.steps():
            raise ValueError(f"{workdir} has checkpoints already: import into another --workdir")
        checkpoints.save(
            TrainState(
                step=jnp.zeros((), jnp.int32),
                params=params,
                opt_state=transformation(experiment.optim).init(params),
                key=jax.random.key(experiment.seed),
                skipped=jnp.zeros((), jnp.int32),
            ),
            data=iter(
                grain.MapDataset.range(1).to_iter_dataset()
            ),  # training replaces it by its own
            progress=vars(Position(0, 0, 0, {}, jax.process_count())),
            config=to_dict(experiment),
        )
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    _LOG.info("Imported %d parameters of %s", count, file)
    print(f"wrote the checkpoint of {file} to {workdir}")
