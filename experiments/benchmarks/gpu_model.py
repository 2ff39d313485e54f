"""Estimate an update at the paper's scale on 8 and on 64 GPUs: a model, not a measurement.

    python -m experiments.benchmarks.gpu_model

Counts the work of ``configs/bouncing_balls.py:color`` (64×64, K = 5, R = 6; 32 clips of 4 frames)
layer by layer, divides it by an assumed rate, and adds what the all-reduce of the gradients takes
on the assumed links. No GPU was available. The paper reports one day for the whole training.
"""

from typing import NamedTuple

PIXELS, FEATURES, SLOTS, CHANNELS = 64 * 64, 64, 5, 3
TAPS = 9
PARAMETERS = 2.7e6
SHARE_OF_PEAK = 0.4  # convolutions of 64 channels in float32 rarely do better


class Machine(NamedTuple):
    name: str
    tflops: float  # peak of a device in float32 (with TF32 where it has it), dense
    link: float  # bytes a second between devices of a host, both ways together
    network: float  # bytes a second between hosts of 8 devices


MACHINES = (
    Machine("GTX 1080 Ti", 11.3, 12e9, 1.2e9),
    Machine("A100 80 GB", 156.0, 300e9, 25e9),
    Machine("H100 80 GB", 495.0, 450e9, 50e9),
)


def cell_gflop() -> tuple[float, float]:
    """GFLOP of one slot: a decode, forward; a refinement network, forward."""
    hidden = 2 * TAPS * FEATURES * FEATURES * PIXELS
    out = 2 * TAPS * FEATURES * (CHANNELS + 1) * PIXELS
    into = 2 * TAPS * (3 * CHANNELS + 7) * FEATURES * PIXELS
    return (3 * hidden + out) / 1e9, (3 * hidden + into) / 1e9


def clip_gflop(frames: int, refinements: int, *, remat: bool = True) -> float:
    """Of one clip, forward and backward, with or without rematerialized cells.

    Those keep inner gradients.
    """
    cells = refinements * (refinements + 1) // 2 + frames - refinements
    if frames < refinements:
        cells = sum(refinements - t for t in range(frames))
    decode, refine = cell_gflop()
    of_cell = (1 + 1) * decode + refine  # decode, its inner gradient, refinement
    total = cells * (of_cell + 2 * (decode + refine)) + frames * 3 * decode
    recomputed = cells * (decode + refine) + frames * decode if remat else 0.0
    return SLOTS * (total + recomputed)


def main() -> None:
    frames, batch = 4, 32
    work = batch * clip_gflop(frames, 6)
    print(f"{work / 1e3:.1f} TFLOP an update of {batch} clips of {frames} frames")
    print(f"{'device':>12} {'devices':>8} {'compute s':>10} {'all-reduce s':>13} {'share':>6}")
    for machine in MACHINES:
        for devices in (8, 64):
            # 64 devices: eight times the clips, so that every device has as many as before.
            compute = work / 8 / (machine.tflops * 1e3 * SHARE_OF_PEAK)
            slowest = machine.link if devices == 8 else machine.network
            reduce = 2 * (devices - 1) / devices * 4 * PARAMETERS / slowest
            share = reduce / (compute + reduce)
            print(f"{machine.name:>12} {devices:>8} {compute:>10.3f} {reduce:>13.4f} {share:>6.1%}")


if __name__ == "__main__":
    main()
