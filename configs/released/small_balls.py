"""The recipes of the released models small_binary and small_color, which were tuned by hand.

They are kept so that these models can be trained again, and used by variants of
``configs/bouncing_balls.py``. For your own config, start from ``configs/quickstart.py``.

The data are the balls of the paper in fewer pixels. Why the stages differ:
- On a black background, only the entropy of the slots' coverage (``slot_entropy``) makes one slot
  take the background. It also puts several balls into one slot if that costs little. So in color
  it starts once the balls are separated; in binary data, γ limits it at first.
- Later, the ends of clips are simulated, since the KL divergence alone trains the prior too little.
- In the last stages, every inferred frame is refined as often as the first one, as at test and in
  ``configs/clevrer.py:small``. There, a penalty on the coverage of the largest slot
  (``largest_share``) keeps the background in one slot, at less cost to the balls.
"""

from typing import Any

from configs import quickstart
from stiid.config import extend

_LAST = {"learning_rate": 5e-4, "final_learning_rate": 5e-5}
_AGAIN = {"learning_rate": 1e-3}


def clips(
    num_frames: int, steps: int, optim: dict[str, float] | None = None, **weights: float
) -> dict[str, Any]:
    """A stage of clips with other weights of the objective."""
    return quickstart.clips(num_frames, steps, optim=optim, objective=weights)


def color() -> dict[str, Any]:
    """Four balls in color at 32×32."""

    def later(num_frames: int, steps: int, final: float, **weights: float) -> dict[str, Any]:
        return clips(num_frames, steps, {"final_learning_rate": final}, beta=30.0, **weights)

    def refined(num_frames: int, steps: int, **weights: float) -> dict[str, Any]:
        stage = clips(num_frames, steps, _LAST, beta=30.0, **weights)
        return _in_full(stage, {})

    stages = [
        clips(5, 500),
        clips(8, 600, beta=30.0),
        later(8, 300, 5e-4, slot_entropy=0.1),
        later(8, 500, 1e-4, slot_entropy=0.1),
        later(8, 300, 1e-4, slot_entropy=0.3),
        later(12, 300, 5e-5, slot_entropy=0.03, num_simulated=4),
        clips(12, 200, _LAST, beta=30.0, slot_entropy=0.3, num_simulated=4),
        refined(8, 400, slot_entropy=0.3, num_simulated=2),
        refined(12, 420, largest_share=0.3, num_simulated=6),
        refined(12, 250, largest_share=0.4, num_simulated=8),
        refined(12, 1700, largest_share=0.35, num_simulated=6),
        refined(12, 800, largest_share=0.2, num_simulated=6),
    ]
    return _small("unique4", stages, {})


def binary() -> dict[str, Any]:
    """Four white balls at 32×32.

    One channel separates balls less than three, so β is three times as large, and γ keeps the
    paper's ratio to it. Frames start from the last posterior; in the last stages and at test, they
    start from the prior, which was no better in earlier stages.
    """
    start = {"posterior_start": "prior"}

    def free(num_frames: int, steps: int, optim: Any = None, **weights: float) -> dict[str, Any]:
        return clips(num_frames, steps, optim, gamma=0.0, **weights)

    def refined(num_frames: int, steps: int, **weights: float) -> dict[str, Any]:
        return _in_full(free(num_frames, steps, _LAST, **weights), start)

    stages = [
        clips(4, 500, slot_entropy=0.3),
        clips(8, 900, {"final_learning_rate": 5e-4}, slot_entropy=0.3),
        clips(16, 900, _LAST, slot_entropy=0.3),
        free(8, 500, {**_AGAIN, "final_learning_rate": 3e-4}, slot_entropy=0.3),
        free(16, 450, _LAST, slot_entropy=0.1),
        free(16, 600, {**_AGAIN, "final_learning_rate": 5e-5}, slot_entropy=0.1, num_simulated=6),
        free(16, 200, _LAST, slot_entropy=0.3, num_simulated=6),
        refined(8, 400, slot_entropy=0.3, num_simulated=2),
        refined(12, 300, largest_share=0.3, num_simulated=6),
        refined(12, 500, largest_share=0.5, num_simulated=8),
        refined(14, 320, largest_share=0.5, num_simulated=6),
        refined(20, 1100, largest_share=0.5, num_simulated=6),
    ]
    config = _small("binary", stages, start)
    model = {
        "inference": {"posterior_start": "posterior"},
        "objective": {"beta": 30.0, "gamma": 0.03},
    }
    return extend(config, model=model)


def _small(colors: str, stages: list[Any], tested: dict[str, str]) -> dict[str, Any]:
    """Data, stages and evaluation; the rest is the quickstart's."""
    config = quickstart.get_config()
    size = {"resolution": 32, "train": 4000, "validation": 128, "test": 256}
    del config["predict"]
    config["data"] = {
        "name": "bouncing_balls",
        "options": {"box": 12.0, "colors": colors, **size},
    }
    config["evaluate"] |= {"clips": 32, "lengths": (10, 20, 30, 40), "restart_frames": 4}
    inference = {"grid": "full", "refinements": 6, **tested}
    config["evaluate"]["model"] = {"inference": inference, "objective": {"beta": 30.0}}
    stages = [{**quickstart.SINGLE_FRAMES, "steps": 1000}, *stages]
    return extend(config, model={"num_slots": 5}, train={"stages": stages, "eval_every": 1000})


def _in_full(stage: dict[str, Any], inference: dict[str, str]) -> dict[str, Any]:
    """Refine every frame of a stage as often as the first one."""
    inference = {"grid": "full", "refinements": 4, **inference}
    return {**stage, "model": {**stage["model"], "inference": inference}}
