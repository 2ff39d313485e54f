"""The PyTorch side of ``training_step``; needs an interpreter with torch, but not stiid.

    python peer_iodine.py CHECKOUT BATCH SLOTS EVALUATIONS [DEVICE]

Does an update as the checkout's ``scripts/iodine_trainer.py`` does, for each line of the input.
``DEVICE``: see ``peer_update``.
"""

import sys

import torch


def main() -> None:
    checkout, batch, slots, evaluations, *device = sys.argv[1:]
    sys.path.insert(0, checkout)
    from peer_update import serve_updates
    from src.iodine import IODINE
    from src.networks.refine_net import RefineNetLSTM
    from src.networks.sbd import SBD

    torch.manual_seed(0)
    networks = (RefineNetLSTM(64, 16), SBD(64, (64, 64), out_channels=4))
    model = IODINE(*networks, int(evaluations), int(slots), 64, beta=10.0)
    frames = torch.rand(int(batch), 3, 64, 64)
    serve_updates(model, lambda frames: model(frames)[0].mean(), frames, *device or ["cpu"])


if __name__ == "__main__":
    main()
