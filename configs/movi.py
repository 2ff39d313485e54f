"""MOVi-A to MOVi-E (Kubric) with the paper's model, at 128×128 and at 64×64.

Hardware: 8 GPUs. Not measured by us. The published TFRecord files are read without TensorFlow:

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
"""

from typing import Any

from stiid.config import extend

_LETTERS = ("a", "b", "c", "d", "e")
VARIANTS = (*_LETTERS, *(f"{letter}_64" for letter in _LETTERS))
_MANY = ("d", "e")
# Frames, clips in a batch, updates: those of ``stiid.config.curriculum.growing_clips``.
_STAGES = ((4, 32, 60_000), (8, 16, 40_000), (16, 8, 40_000), (24, 8, 30_000))


def get_config(variant: str = "a") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/movi.py: expected one of {VARIANTS}, got {variant!r}")
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
