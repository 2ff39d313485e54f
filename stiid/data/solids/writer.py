"""Writer of rendered scenes in the layout of the official CLEVRER archives.

For video 123 the files are ``video_00000-01000/video_00123.mp4`` (H.264, 480x320, 128 frames),
``annotation_00000-01000/annotation_00123.json``, and, on request,
``derender_proposals/proposal_00123.json``, whose masks are the true ones.
"""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stiid.data.clevrer import camera
from stiid.data.solids.clips import make_motion
from stiid.data.solids.physics import Motion
from stiid.data.solids.scene import COLORS, FPS, MATERIALS, SHAPES, Scene, SceneLaw
from stiid.data.solids.shading import CENTER, render
from stiid.data.stored import lock
from stiid.data.view import View
from stiid.data.workers import ordered_map
from stiid.files import atomic_path
from stiid.media import write_mp4

FRAMES = 128
NUMBERS = {  # of the official videos
    "train": range(10_000),
    "validation": range(10_000, 15_000),
    "test": range(15_000, 20_000),
}
_VIEW = View(height=camera.HEIGHT, width=camera.WIDTH, channels=3)
_DIGITS = 6  # decimal places of the numbers in annotations


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClevrerLayout(SceneLaw):
    """Options of `write_clevrer`.

    Attributes:
      train, validation, test: number of videos, at most 10,000, 5,000 and 5,000. As in the
        original, test videos have no annotations.
      seed: not negative.
      proposals: 1 also writes proposals (of all videos), 0 does not.

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    train: int = 1_000
    validation: int = 200
    test: int = 0
    seed: int = 0
    proposals: int = 0

    def __post_init__(self):
        super().__post_init__()
        for split, numbers in NUMBERS.items():
            if not 0 <= getattr(self, split) <= len(numbers):
                raise ValueError(
                    f"{split} must be between 0 and {len(numbers)}, got {getattr(self, split)}"
                )
        if self.size != SceneLaw.size:
            raise ValueError(
                f"size must be {SceneLaw.size}, since annotations do not contain it, "
                f"got {self.size}"
            )
        if self.seed < 0 or self.proposals not in (0, 1):
            raise ValueError(
                "seed must not be negative and proposals be 0 or 1, "
                f"got {self.seed} and {self.proposals}"
            )

    @property
    def videos(self) -> list[tuple[str, int]]:
        """Split and number of every video."""
        return [
            (split, number)
            for split, numbers in NUMBERS.items()
            for number in numbers[: getattr(self, split)]
        ]


def write_clevrer(folder: Path, layout: ClevrerLayout, *, processes: int = 1) -> None:
    """Write a folder of files, which appears only when it is complete.

    Until then the files are in a hidden folder beside it. After an interruption the same call
    continues where the previous one stopped.

    Args:
      folder: must not exist.
      layout: what to write. Same layout, same bytes (for one release of NumPy, MuJoCo and the
        encoder), for any number of processes.
      processes: number of processes.

    Raises:
      OSError: if the folder exists or cannot be written.
    """
    fields = json.dumps(dataclasses.asdict(layout), sort_keys=True)
    digest = hashlib.sha256(fields.encode()).hexdigest()[:12]
    partial = folder.with_name(f".{folder.name}.{digest}.partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(folder.with_name(f".{folder.name}.lock")):
        if folder.exists():
            raise FileExistsError(f"{folder} exists: remove it, or choose another folder")
        partial.mkdir(exist_ok=True)
        videos = layout.videos
        write = functools.partial(_write_video, partial, layout)
        with tqdm(desc=f"Writing {folder.name}", total=len(videos), unit="video") as progress:
            for _ in ordered_map(write, videos, processes=min(processes, len(videos))):
                progress.update()
        for leftover in partial.rglob(".*"):  # left by a process that was killed
            leftover.unlink()
        os.replace(partial, folder)


def _write_video(folder: Path, layout: ClevrerLayout, video: tuple[str, int]) -> None:
    """Write those files of a video that are missing."""
    split, number = video
    first = number // 1000 * 1000
    block = f"{first:05d}-{first + 1000:05d}"
    mp4 = folder / f"video_{block}" / f"video_{number:05d}.mp4"
    annotation = folder / f"annotation_{block}" / f"annotation_{number:05d}.json"
    proposals = folder / "derender_proposals" / f"proposal_{number:05d}.json"
    wanted = [mp4, *[annotation] * (split != "test"), *[proposals] * layout.proposals]
    if all(path.exists() for path in wanted):
        return
    index = number - NUMBERS[split].start
    scene, motion = make_motion(layout, split, index, frames=FRAMES, seed=layout.seed)
    frames, masks = render(scene, motion, _VIEW, CENTER)
    contents: dict[Path, Callable[[], Any]] = {
        annotation: lambda: annotate(scene, motion, number),
        proposals: lambda: propose(scene, masks, number),
    }
    for path in wanted[1:]:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(contents[path](), allow_nan=False))
    write_mp4(mp4, frames, fps=FPS)


def annotate(scene: Scene, motion: Motion, number: int) -> dict[str, Any]:
    """Annotate a video in the official format.

    Orientations are angles about the world's x, then y, then z axis, in radians (Blender's order
    XYZ), which rotate an object from its own axes. An object counts as inside the camera's view if
    its center is in the 480x320 frame, hidden or not.
    """
    pixels = camera.project(motion.locations)
    inside = np.all((pixels > 0) & (pixels < (camera.WIDTH, camera.HEIGHT)), axis=-1)
    vectors = {
        "location": motion.locations,
        "orientation": euler_angles(motion.rotations),
        "velocity": motion.velocities,
        "angular_velocity": motion.spins,
    }
    values = {name: np.round(array, _DIGITS).tolist() for name, array in vectors.items()}
    objects = range(len(scene.shapes))
    return {
        "scene_index": number,
        "video_filename": f"video_{number:05d}.mp4",
        "object_property": [{"object_id": k, **_properties(scene, k)} for k in objects],
        "motion_trajectory": [
            {
                "frame_id": t,
                "objects": [
                    {
                        "object_id": k,
                        **{name: value[t][k] for name, value in values.items()},
                        "inside_camera_view": bool(inside[t, k]),
                    }
                    for k in objects
                ],
            }
            for t in range(len(motion.locations))
        ],
        "collision": [
            {
                "object_ids": list(collision.objects),
                "frame_id": collision.frame,
                "location": np.round(collision.location, _DIGITS).tolist(),
            }
            for collision in motion.collisions
        ],
    }


def propose(scene: Scene, masks: np.ndarray, number: int) -> dict[str, Any]:
    """Make one proposal per visible object and frame, from masks uint8 [T, 320, 480]."""
    return {
        "video_index": number,
        "video_name": f"video_{number:05d}.mp4",
        "frames": [
            {
                "frame_filename": f"video_{number:05d}_{t:03d}.png",
                "frame_index": t,
                "objects": [
                    {
                        **_properties(scene, int(k) - 1),
                        "score": 1.0,
                        "mask": {"size": list(ids.shape), "counts": encode_rle(ids == k)},
                    }
                    for k in np.unique(ids[ids > 0])
                ],
            }
            for t, ids in enumerate(masks)
        ],
    }


def _properties(scene: Scene, k: int) -> dict[str, str]:
    return {
        "color": COLORS[scene.colors[k]],
        "material": MATERIALS[scene.materials[k]],
        "shape": SHAPES[scene.shapes[k]],
    }


def euler_angles(rotations: np.ndarray) -> np.ndarray:
    """Angles [..., 3] about fixed axes x, then y, then z, in radians, of rotations [..., 3, 3].

    They are exact even if y is 90 degrees, where only the sum or difference of x and z is defined.
    """
    r = np.moveaxis(rotations, (-2, -1), (0, 1))
    z = np.arctan2(r[1, 0], r[0, 0])
    c, s = np.cos(z), np.sin(z)
    # After the rotation about z is undone, a rotation about x and then y is left.
    x = np.arctan2(s * r[0, 2] - c * r[1, 2], c * r[1, 1] - s * r[0, 1])
    y = np.arctan2(-r[2, 0], c * r[0, 0] + s * r[1, 0])
    return np.stack([x, y, z], axis=-1)


def encode_rle(mask: np.ndarray) -> str:
    """Encode a mask bool [H, W] as COCO's compressed run lengths, column by column."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    if flat[0]:
        runs = [0, *runs]  # the first run is one of zeros
    characters = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            low = value & 31
            value >>= 5
            more = value != (-1 if low & 16 else 0)
            characters.append(chr(48 + low + 32 * more))
    return "".join(characters)
