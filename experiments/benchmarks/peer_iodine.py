"""The PyTorch side of ``training_step``: run by an interpreter that has torch, without stiid.

    python peer_iodine.py CHECKOUT BATCH SLOTS EVALUATIONS

Does an update as the checkout's ``scripts/iodine_trainer.py`` does, for each line of the input.
"""

import json
import resource
import sys
import time

import torch


def main() -> None:
    checkout, *numbers = sys.argv[1:]
    batch, slots, evaluations = map(int, numbers)
    sys.path.insert(0, checkout)
    from src.iodine import IODINE
    from src.networks.refine_net import RefineNetLSTM
    from src.networks.sbd import SBD

    torch.manual_seed(0)
    model = IODINE(
        RefineNetLSTM(64, 16), SBD(64, (64, 64), out_channels=4), evaluations, slots, 64, beta=10.0
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    frames = torch.rand(batch, 3, 64, 64)
    for _ in sys.stdin:
        begin = time.perf_counter()
        loss = model(frames)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0, norm_type=2)
        optimizer.step()
        seconds = time.perf_counter() - begin
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "peak_gb": kilobytes / 1e6}), flush=True)


if __name__ == "__main__":
    main()
