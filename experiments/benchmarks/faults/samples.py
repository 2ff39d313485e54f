"""One small, valid input for each reader of the package, and what reads it."""

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import scipy.io
from PIL import Image

from experiments.benchmarks.faults import torch_files
from stiid.cli.console import main as console
from stiid.cli.decompose import target
from stiid.cli.overrides import replaced
from stiid.config.experiment import Experiment
from stiid.config.resolve import load_complete
from stiid.data.balls.r_nem import RNemSource, RNemSpec
from stiid.data.clevrer.annotations import FRAMES, parse_annotation
from stiid.data.clevrer.files import ClevrerFiles
from stiid.data.clevrer.proposals import parse_proposals
from stiid.data.video.frames import read_video
from stiid.data.video.mask_folder import MaskFolder
from stiid.data.video.tracklets import Tracklets
from stiid.interop.torch_file import read_state_dict
from stiid.interop.torch_pickle import read_pickle
from stiid.media import write_mp4
from stiid.training.log import MetricWriter, export_csv
from stiid.training.migration import migrate
from stiid.training.position import Position, position_of
from stiid.training.released import Release, write_release
from stiid.training.state import TrainState
from stiid.typed_config import parse, to_dict

_VIDEO = np.arange(6 * 24 * 32 * 3, dtype=np.uint32).reshape(6, 24, 32, 3).astype(np.uint8)
_CONFIG = "def get_config():\n    return {'seed': 1, 'data': {'name': 'bouncing_balls'}}\n"


class Sample(NamedTuple):
    """An input of a reader."""

    name: str  # of the file; a folder may stand before it
    content: bytes
    read: Callable[[Path], Any]
    text: bool = False


def samples(folder: Path) -> dict[str, Sample]:
    """All inputs by what they are called in reports; made in a folder."""
    experiment = parse(Experiment, {"data": {"name": "bouncing_balls"}})
    stored = _json(to_dict(experiment))
    release, params = _release(folder / "release")
    state = {"weight": np.arange(12, dtype=np.float32).reshape(3, 4), "bias": np.ones(3)}
    return {
        "video mp4": Sample("a.mp4", _mp4(folder / "a.mp4"), read_video),
        "video gif": Sample("a.gif", _image("GIF", animated=True), read_video),
        "image png": Sample("images/1.png", _image("PNG"), lambda path: read_video(path.parent)),
        "image jpg": Sample("images/1.jpg", _image("JPEG"), lambda path: read_video(path.parent)),
        "mask png": Sample("masks/1.png", _image("PNG", mode="P"), _read_masks),
        "pickle": Sample(
            "a.pkl", _pickle(), lambda path: read_pickle(io.BytesIO(path.read_bytes()))
        ),
        "torch zip": Sample("a.pt", torch_files.save(state, old=False), read_state_dict),
        "torch old": Sample("a.pth", torch_files.save(state, old=True), read_state_dict),
        "h5": Sample("a.h5", _h5(folder / "a.h5"), _read_h5),
        "npz": Sample("model/params.npz", params, _read_release(release)),
        "card": Sample("model/model.json", release, _read_release(release, params), True),
        "zip archive": Sample("clevrer/videos.zip", _zip(), _read_archive),
        "annotation": Sample("a.json", _json(_annotation()), _parsed(parse_annotation), True),
        "proposals": Sample("b.json", _json(_proposals()), _parsed(parse_proposals), True),
        "tracks": Sample("a.mat", _mat(), Tracklets.load),
        "config file": Sample("mine.py", _CONFIG.encode(), _print_config, True),
        "stored config": Sample("c.json", stored, _parse_config, True),
        "overrides": Sample("o.txt", b"evaluate.lengths=(2,3)\nmodel.num_slots=4", _override, True),
        "metrics.jsonl": Sample("run/metrics.jsonl", _log(), _read_log, True),
        "progress": Sample("p.json", _json(vars(Position(1, 2, 0, {}, 1))), _read_progress, True),
        "info.json": Sample("decompose/a/info.json", _json({"input": "a.mp4"}), _read_info, True),
    }


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _mp4(path: Path) -> bytes:
    write_mp4(path, _VIDEO.repeat(2, 1).repeat(2, 2), fps=25)
    return path.read_bytes()


def _image(kind: str, *, mode: str = "RGB", animated: bool = False) -> bytes:
    stream = io.BytesIO()
    first, *others = (Image.fromarray(frame).convert(mode) for frame in _VIDEO)
    first.save(stream, kind, **({"save_all": True, "append_images": others} if animated else {}))
    return stream.getvalue()


def _read_masks(path: Path) -> None:
    list(MaskFolder(path.parent, 1).frames(0, 1, 1))


def _pickle() -> bytes:
    return pickle.dumps({"a": [1, 2.0, ("b", None, -7)] * 9, "d": {"e": True}}, protocol=2)


def _h5(path: Path) -> bytes:
    shape = (3, 2, 4, 4, 1)
    with h5py.File(path, "w") as file:
        group = file.create_group("training")
        group.create_dataset("features", data=np.ones(shape, np.bool_), compression="gzip")
        group.create_dataset("groups", data=np.ones(shape, np.uint8), compression="gzip")
        group["positions"] = np.ones((3, 2, 1, 2), np.float32)
    return path.read_bytes()


def _read_h5(path: Path) -> None:
    source = RNemSource(RNemSpec(path=str(path), frames=3, resolution=4), "train")
    for place in range(min(len(source), 2)):
        _ = source[place]


def _params() -> TrainState:
    params = {"layer": {"kernel": jnp.arange(12.0).reshape(3, 4)}}
    return TrainState(
        step=jnp.int32(1), params=params, opt_state={}, key=jax.random.key(0), skipped=jnp.int32(0)
    )


def _release(folder: Path) -> tuple[bytes, bytes]:
    write_release(folder, step=1, params=_params().params, config={"seed": 0, "a": [1, 2.5]})
    return (folder / "model.json").read_bytes(), (folder / "params.npz").read_bytes()


def _read_release(card: bytes, params: bytes | None = None) -> Callable[[Path], None]:
    template = jax.eval_shape(_params)

    def read(path: Path) -> None:
        other = path.with_name("model.json" if params is None else "params.npz")
        other.write_bytes(card if params is None else params)
        with Release(path.parent) as release:
            release.state(release.choose("latest"), template)

    return read


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotation_00000-01000/annotation_00007.json", _json(_annotation()))
        archive.writestr("video_00000-01000/video_00007.mp4", bytes(range(256)) * 4)
    return stream.getvalue()


def _read_archive(path: Path) -> None:
    files = ClevrerFiles(path.parent)
    for kind in ("annotation", "video"):
        files.read(kind, 7)


def _annotation() -> dict[str, Any]:
    names = [("red", "metal", "cube"), ("blue", "rubber", "sphere")]
    objects = [
        {"object_id": i, "color": color, "material": material, "shape": shape}
        for i, (color, material, shape) in enumerate(names)
    ]
    state = {"location": [1.0, 2.0, 0.2], "orientation": [0.0, 0.1, 0.2], "velocity": [0.1, 0, 0]}
    motion = [
        {"frame_id": t, "objects": [{"object_id": i, **state} for i in range(len(names))]}
        for t in range(FRAMES)
    ]
    return {"object_property": objects, "motion_trajectory": motion}


def _proposals() -> dict[str, Any]:
    found = {"color": "red", "material": "metal", "shape": "cube", "score": 0.9}
    mask = {"size": [320, 480], "counts": "PPf4"}
    return {
        "frames": [
            {"frame_index": t, "objects": [{**found, "mask": mask}] * 2} for t in range(FRAMES)
        ]
    }


def _parsed(parser: Callable[[bytes, str], Any]) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        found = parser(path.read_bytes(), path.name)
        if hasattr(found, "ids"):
            found.ids(0, [("red", "metal", "cube")])

    return read


def _mat() -> bytes:
    stream = io.BytesIO()
    tracks = np.zeros((1, 2), [("x", object), ("y", object), ("t", object)])
    for i in range(2):
        for name in "xyt":
            tracks[0, i][name] = np.arange(5.0)[:, None] + i
    scipy.io.savemat(stream, {"trks": tracks}, do_compression=True)
    return stream.getvalue()


def _print_config(path: Path) -> None:
    arguments = ["config", str(path)]
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        code = console(arguments)
    if code:
        raise ValueError(errors.getvalue())


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from error


def _parse_config(path: Path) -> None:
    content = _load_json(path)
    parse(Experiment, migrate(content if isinstance(content, dict) else {}))


def _override(path: Path) -> None:
    lines = path.read_bytes().decode(errors="surrogateescape").split("\n")
    fields = [f"--config.{line}" for line in lines]
    parse(Experiment, replaced(load_complete("quickstart"), fields))


def _log() -> bytes:
    rows = [
        {"step": step, "split": "train", "time": 1.5, "total": 3.25, "kl": None, "non_finite": odd}
        for step, odd in enumerate([{"kl": "nan"}, {"kl": "inf"}] * 4)
    ]
    return b"".join(_json(row) + b"\n" for row in rows)


def _read_log(path: Path) -> None:
    export_csv(path, path.with_suffix(".csv"))
    with MetricWriter(path.parent, resume_step=4) as writer:
        writer.write(5, "train", {"total": 1.0})


def _read_progress(path: Path) -> None:
    content = _load_json(path)
    position_of(content if isinstance(content, dict) else {}, where=path)


def _read_info(path: Path) -> None:
    target(path.parents[2], Path("a.mp4"), "checkpoint")
