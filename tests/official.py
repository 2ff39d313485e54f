"""Files in CLEVRER's official formats, written by the tests: nothing here uses the loader.

A scene is a list of objects (shape, start (x, y), velocity (x, y) in units of the annotations, of
which a frame is 1/35); objects slide on the floor and turn a little. The k-th has the k-th color.
"""

import functools
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np

COLORS = ("gray", "red", "blue", "green", "brown", "yellow", "cyan", "purple")
FRAMES, WIDTH, HEIGHT = 128, 480, 320

Scene = list[tuple[str, tuple[float, float], tuple[float, float]]]

MOVING: Scene = [
    ("sphere", (0.0, -1.0), (0.2, 0.0)),
    ("sphere", (0.5, 0.0), (0.0, 0.1)),
    ("sphere", (-0.5, 1.0), (0.0, 0.0)),
]
SIX: Scene = [
    *MOVING,
    ("cube", (-1.5, -1.0), (0.0, 0.0)),
    ("cylinder", (-1.5, 0.1), (0.0, 0.0)),
    ("cube", (-1.5, 1.0), (0.0, 0.0)),
]


def name(index: int) -> dict[str, str]:
    return {"color": COLORS[index], "material": ("metal", "rubber")[index % 2]}


def location(scene: Scene, index: int, t: int) -> list[float]:
    _, (x, y), (vx, vy) = scene[index]
    return [x + vx * t / 35, y + vy * t / 35, 0.2]


def annotation(scene: Scene, number: int = 0) -> dict[str, Any]:
    return {
        "scene_index": number,
        "video_filename": f"video_{number:05d}.mp4",
        "object_property": [
            {"object_id": i, **name(i), "shape": shape} for i, (shape, _, _) in enumerate(scene)
        ],
        "motion_trajectory": [
            {
                "frame_id": t,
                "objects": [
                    {
                        "object_id": i,
                        "location": location(scene, i, t),
                        "orientation": [0.0, 0.0, 0.02 * t],
                        "velocity": [*velocity, 0.0],
                        "angular_velocity": [0.0, 0.0, 0.7],
                        "inside_camera_view": True,
                    }
                    for i, (_, _, velocity) in enumerate(scene)
                ],
            }
            for t in range(FRAMES)
        ],
        "collision": [{"object_ids": [0, 1], "frame_id": 9, "location": [0.0, 0.0, 0.2]}],
    }


def disc(scene: Scene, index: int, t: int) -> np.ndarray:
    """Approximate image of a sphere: a disc around its projection; bool [320, 480]."""
    x, y, z = location(scene, index, t)
    depth = 5 - 0.8660254 * x - 0.5 * z
    u = 240 + 525 * y / depth
    v = 160 + 525 * (0.5 * x - 0.8660254 * z) / depth
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    return (rows + 0.5 - v) ** 2 + (columns + 0.5 - u) ** 2 < (525 * 0.2 / depth) ** 2


def proposals(scene: Scene, *, shift: int = 0) -> dict[str, Any]:
    """The discs, moved to the right, the last object first: the place in the list says nothing."""
    return {
        "frames": [
            {
                "frame_filename": f"frame_{t:05d}.png",
                "frame_index": t,
                "objects": [
                    {
                        **name(i),
                        "shape": scene[i][0],
                        "score": 0.9,
                        "mask": {
                            "size": [HEIGHT, WIDTH],
                            "counts": encode_rle(np.roll(disc(scene, i, t), shift, axis=1)),
                        },
                    }
                    for i in reversed(range(len(scene)))
                ],
            }
            for t in range(FRAMES)
        ]
    }


def encode_rle(mask: np.ndarray) -> str:
    """COCO's compressed run lengths of a mask, column after column."""
    flat = np.concatenate([[False], mask.T.ravel()])
    edges = np.flatnonzero(np.diff(flat)).tolist()
    runs = np.diff([0, *edges, mask.size]).tolist()
    text = ""
    for i, run in enumerate(runs):
        rest = run - runs[i - 2] if i > 2 else run
        while True:
            digit, rest = rest % 32, rest // 32
            done = rest == (-1 if digit & 16 else 0)
            text += chr(48 + digit + (0 if done else 32))
            if done:
                break
    return text


@functools.cache
def video(
    scene: tuple[Any, ...] = (), *, frames: int = FRAMES, width: int = WIDTH, height: int = HEIGHT
) -> bytes:
    """An h264 mp4: dark, with the spheres of a scene as white discs."""
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "threads": "1"}
        for t in range(frames):
            image = np.full((height, width, 3), t, np.uint8)
            for i in range(len(scene)):
                image[disc(list(scene), i, t)] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return content.getvalue()


def write(
    folder: Path, number: int, scene: Scene, *, shown: bool = False, proposed: bool = False
) -> None:
    """Write the files of a video, in the official folders; `shown`: the spheres in the video."""
    block = f"{number // 1000 * 1000:05d}-{number // 1000 * 1000 + 1000:05d}"
    files = {
        f"video_{block}/video_{number:05d}.mp4": video(tuple(scene) if shown else ()),
        f"annotation_{block}/annotation_{number:05d}.json": json.dumps(annotation(scene, number)),
    }
    if proposed:
        path = f"derender_proposals/proposal_{number:05d}.json"
        files[path] = json.dumps(proposals(scene))
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        (folder / path).write_bytes(data)


def zip_folder(folder: Path, archive: Path, pattern: str) -> None:
    """Pack the files of a folder whose names match."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob(pattern)):
            packed.write(path, path.relative_to(folder))
