"""Show videos that ``--mode=decompose`` decomposed: paths, overlay, and slots."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.report.markup import Html, join, tag
from experiments.report.media import Media
from experiments.report.page import missing
from experiments.report.paths import MOST_FRAMES, path_drawing, read_paths
from stiid.data.video.video_file import VideoFile


def decompositions(folder: Path, media: Media) -> Html:
    """One part per video."""
    videos = sorted(path.parent for path in folder.glob("*/info.json"))
    if not videos:
        return missing("There is nothing in decompose/: --mode=decompose --input=VIDEO writes it.")
    return join(*(_video(video, media) for video in videos))


def _video(folder: Path, media: Media) -> Html:
    info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    name = folder.name
    paths = read_paths(folder / "trajectories.csv")
    frames = min(info["frames"], MOST_FRAMES)
    label = f"{name}: paths of the slots in its first {frames} frames, over the first one"
    drawing = path_drawing(paths, box=info["shown"], label=label)
    first = media.array(next(iter(VideoFile(folder / "overlay.mp4").frames())))
    below = tag("img", src=first, alt="The first frame with the slots drawn on it") if first else ""
    return tag(
        "figure",
        tag("figcaption", tag("h3", name), _facts(info)),
        tag("div", below, drawing, class_="still"),
        media.movie(folder / "overlay.mp4", f"{name} with its slots drawn on it"),
        media.movie(folder / "slots.mp4", f"{name}: input, reconstruction, masks and slots"),
    )


def _facts(info: Mapping[str, Any]) -> str:
    text = f"{info['frames']} frames, {info['slots']} slots"
    if info.get("explained") is not None:
        text += f", which explain {max(0.0, 100 * info['explained']):.0f} % of the variance"
    if info["frames"] > MOST_FRAMES:
        text += f". Paths are those of the first {MOST_FRAMES} frames"
    return f"{text}."
