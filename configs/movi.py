"""MOVi-A to MOVi-E (Kubric) with the paper's model, at 128×128 and at 64×64.

Hardware: 8 GPUs; not measured by us, except ``a_small``. The published TFRecord files are read
without TensorFlow:

    gsutil -m cp -r gs://kubric-public/tfds/movi_a/128x128/1.0.0 /data/movi_a/128x128/1.0.0
    python -m stiid.main --config=configs/movi.py:a --workdir=runs/movi_a \
        --config.data.options.path=/data

Variants: ``a`` to ``e`` have 128×128 pixels, ``a_64`` to ``e_64`` shrink the same files. With
``--config.data.options.limit=N`` the first N clips of each split and their shards suffice.

MOVi-A, B and C show up to 10 objects: K = 11. D and E show up to 23: K = 24. All have 24 frames.
Scores are of the validation split, which other work reports too; C, D and E have a test split of
new objects and backgrounds as well (``--config.evaluate.split=test``). The paper has no such data:
the model is that of ``configs/clevrer.py``, and the curriculum the paper's up to 24 frames. The
model has no notion of a moving camera (E), and C to E have textures, which IODINE and its kin
are known to handle badly.

``a_small`` is for two CPU cores: MOVi-A at 32×32 with the recipe of ``masks.py``, which is not in
the paper. Objects differ less from the gray floor than balls from black, so that σ² is smaller, and
seeds tell paler colors apart; light makes the floor uneven, so that a cost on the coverage of the
largest slot keeps it in one slot. It was trained on eight clips only, in nine minutes of CPU time,
which is far too little: experiments/lab_notes.md.
"""

from typing import Any

from configs import masks
from stiid.config import extend

_LETTERS = ("a", "b", "c", "d", "e")
VARIANTS = (*_LETTERS, *(f"{letter}_64" for letter in _LETTERS), "a_small")
_MANY = ("d", "e")
# Frames, clips in a batch, updates: those of ``stiid.config.curriculum.growing_clips``.
_STAGES = ((4, 32, 60_000), (8, 16, 40_000), (16, 8, 40_000), (24, 8, 30_000))


def get_config(variant: str = "a") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/movi.py: expected one of {VARIANTS}, got {variant!r}")
    if variant == "a_small":
        return _small()
    letter, _, size = variant.partition("_")
    return extend(
        "clevrer",
        data={
            "name": "movi",
            "max_frames": 0,
            "options": {"variant": letter, "resolution": int(size or 128)},
        },
        model={"num_slots": 24 if letter in _MANY else 11},
        train={
            "stages": [
                {"num_frames": frames, "batch_size": batch, "steps": steps}
                for frames, batch, steps in _STAGES
            ]
        },
        evaluate={"lengths": (12, 24), "batch_size": 8},
        predict={"num_observed": 12, "num_simulated": 12},
    )


def _small() -> dict[str, Any]:
    """MOVi-A with slots of one color that start from the frame's own pixels."""
    return extend(
        "masks:quick",
        data={"name": "movi", "max_frames": 0, "options": {"resolution": 32}},
        model={
            "num_slots": 11,
            "inference": {"seed_scale": 9.0, "variance": 0.03},
            "objective": {"largest_share": 2.0},
        },
        train={
            "stages": [
                {**masks.SINGLE_FRAMES, "steps": 500},
                {
                    **masks.SINGLE_FRAMES,
                    "steps": 250,
                    "model": {"objective": {"largest_share": 0.7}},
                    "optim": {"learning_rate": 1e-3, "final_learning_rate": 5e-4},
                },
            ],
            "eval_every": 250,
            "checkpoint_every": 50,
        },
        evaluate={"batch_size": 8, "lengths": (12, 24)},
        predict={"num_observed": 12, "num_simulated": 12},
    )
