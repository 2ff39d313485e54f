"""Record what the authors' implementation computes on the cases of ``provide_recipe``.

    python tests/provide_numbers.py CHECKOUT tests/interop/provide_numbers.json

``CHECKOUT`` is github.com/BorealisAI/PROVIDE at ad0b9ef; the interpreter has PyTorch. Everything is
computed in float64 from float32 weights; the implementation's sampling is replaced by noise of the
recipe, its code is imported and not changed.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "experiments" / "benchmarks")]

import peer_provide  # noqa: E402
import provide_recipe as recipe  # noqa: E402

PIXELS = ((0, 0), (10, 20), (33, 7), (63, 40))


def numbers(array):
    return [float(f"{x:.9g}") for x in np.asarray(array, np.float64).ravel()]


def run(checkout, case):
    """The outcome of one case."""
    model = peer_provide.build(
        checkout,
        slots=case.slots,
        evaluations=case.evaluations,
        latent=case.latent,
        entropy=case.entropy,
        simulated=case.simulated,
        training=not case.simulated and case.slots == 3,
    )
    params = {k: torch.from_numpy(v) for k, v in recipe.draw_params(latent=case.latent).items()}
    missing, unexpected = model.load_state_dict(params, strict=False)
    assert not unexpected
    assert set(missing) == set(recipe.draw_buffers(evaluations=1, slots=1, latent=case.latent)), (
        missing
    )
    model = model.double()
    model.var_x.fill_(0.3)
    video, noise = (torch.from_numpy(x).double() for x in recipe.draw_inputs(case))
    samples = iter([*noise, noise[0]])  # the last one is sampled and not used
    model._sample = lambda mean, log_var: mean + torch.exp(0.5 * log_var) * next(samples)
    total, nll, kl, entropy, means, masks, _, _, h, _, _ = model(video, video)
    assert not list(samples)
    rows, columns = zip(*PIXELS, strict=True)
    found = {
        "total": total.mean().item(),
        "nll": nll.item(),
        "kl": kl.item(),
        "entropy": entropy.item(),
        "masks": numbers(masks.detach()[0, :, :, 0, rows, columns]),
        "means": numbers(means.detach()[0, :, :, :, rows, columns]),
        "mask_norms": numbers(masks.detach()[0].flatten(1).norm(dim=1)),
        "h": numbers(h.detach()[:, ::9]),
    }
    if case.frames > 3 or case.entropy:
        total.mean().backward()
        found["gradients"] = {
            name: numbers(
                [
                    param.grad.norm().item(),
                    (param.grad.numpy() * recipe.projection(name, param.shape)).sum(),
                    *param.grad.flatten()[:: max(1, param.numel() // 3)][:3],
                ]
            )
            for name, param in model.named_parameters()
            if param.grad is not None
        }
    return found


def main():
    checkout, output = sys.argv[1:]
    text = {
        "source": "github.com/BorealisAI/PROVIDE at ad0b9ef",
        "torch": torch.__version__,
        "recipe": "tests/provide_recipe.py, float64",
        "pixels": PIXELS,
        "cases": {name: run(checkout, case) for name, case in recipe.CASES.items()},
    }
    Path(output).write_text(json.dumps(text) + "\n")


if __name__ == "__main__":
    main()
