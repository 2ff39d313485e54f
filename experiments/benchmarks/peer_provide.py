"""Run the paper's authors' implementation; needs an interpreter with torch, but not stiid.

    python peer_provide.py CHECKOUT BATCH SLOTS EVALUATIONS FRAMES [DEVICE]

``CHECKOUT`` is github.com/BorealisAI/PROVIDE at ad0b9ef. Does an update of the color model on
random frames for each line of the input, as ``peer_iodine.py``: the PyTorch side of
``training_step``. ``DEVICE``: see ``peer_update``. ``tests/provide_numbers.py`` uses ``build`` to
record its results.
"""

import sys
import types
from typing import Any

import torch
from torch import nn


class _Fire(nn.Module):
    """A block of SqueezeNet; torchvision's parameter names."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, 16, 1)
        self.expand1x1 = nn.Conv2d(16, 64, 1)
        self.expand3x3 = nn.Conv2d(16, 64, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def squeezenet() -> nn.Sequential:
    """The first five layers of SqueezeNet 1.1, without torchvision and without its weights."""
    layers = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    return nn.Sequential(*layers, _Fire(64), _Fire(128))


def build(
    checkout: str,
    *,
    slots: int,
    evaluations: int,
    latent: int = 64,
    entropy: bool = False,
    simulated: int = 0,
    training: bool = True,
) -> Any:
    """The checkout's model.

    Args:
      checkout: its folder.
      slots: K.
      evaluations: R.
      latent: D.
      entropy: add the entropy of the masks, as its binary runs do.
      simulated: frames at the end of a clip that are simulated.
      training: False: as at test, without scores.
    """
    sys.path.insert(0, checkout)
    for name in ("visdom", "ipdb", "moviepy", "moviepy.editor"):
        sys.modules[name] = types.ModuleType(name)
    vars(sys.modules["moviepy.editor"])["ImageSequenceClip"] = None  # what makes their GIFs
    from src.model import Model
    from src.networks.refine_net import RefineNetLSTM
    from src.networks.sbd import SBD

    options = types.SimpleNamespace(
        save_path="",
        model_name="",
        predict_frames=simulated,
        cond_prior=True,
        use_entropy=entropy,
        additional_input=False,
        isTrain=training,
        no_scores=True,
    )
    networks = (RefineNetLSTM(latent, 32), SBD(latent, (64, 64), out_channels=4, cond=True))
    model = Model(options, *networks, evaluations, slots, latent, feature_extractor=squeezenet())
    sys.excepthook = sys.__excepthook__
    return model


def main() -> None:
    from peer_update import serve_updates

    checkout, batch, slots, evaluations, frames, *device = sys.argv[1:]
    torch.manual_seed(0)
    model = build(checkout, slots=int(slots), evaluations=int(evaluations))
    video = torch.rand(int(batch), int(frames), 3, 64, 64)
    serve_updates(model, lambda video: model(video, video)[0].mean(), video, *device or ["cpu"])


if __name__ == "__main__":
    main()
