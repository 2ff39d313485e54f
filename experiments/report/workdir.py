"""Report of a run: files of its workdir, and clips decomposed by its checkpoint."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.report.clips import clip_figures
from experiments.report.curves import Curve, charts, line_chart
from experiments.report.decompositions import decompositions
from experiments.report.logs import log_charts, stage_ends
from experiments.report.markup import Html, join, tag
from experiments.report.media import Media
from experiments.report.page import Section, facts, missing, note
from experiments.report.tables import display_name, score_table
from stiid.cli.modes import USER_ERRORS
from stiid.data.spacing import spaced
from stiid.evaluation.prediction import predict_clips
from stiid.progress import waiting
from stiid.training.log import read_log
from stiid.training.restore import restore

TRACES = ("metrics.jsonl", "run.json", "checkpoints", "eval", "predict", "decompose")
_TRAINED = ("metrics.jsonl", "run.json", "checkpoints")  # of which training leaves some
_FRAME_SCORES = ("f_ari", "ari", "miou")  # beside the error
_SHEETS = 6  # images of training that are shown


def is_workdir(folder: Path) -> bool:
    """Whether a run, or a mode, has written here."""
    return any((folder / name).exists() for name in TRACES)


def sections(workdir: Path, *, clips: int) -> list[Section]:
    """Make all sections; those whose files are missing or damaged say so.

    Args:
      workdir: of the run.
      clips: number of clips to decompose; with 0, no checkpoint is restored.
    """
    media = Media()
    parts: dict[str, tuple[str, Callable[[], Html]]] = {
        "Scores": ("eval", lambda: _scores(workdir / "eval" / "metrics.json")),
        "Clips": ("checkpoints", lambda: _clips(workdir, clips, media)),
        "Training": ("metrics.jsonl", lambda: _training(workdir / "metrics.jsonl")),
        "Prediction": ("predict", lambda: _prediction(workdir / "predict", media)),
        "Images of training": ("pictures", lambda: _images(workdir / "pictures", media)),
        "Own videos": ("decompose", lambda: decompositions(workdir / "decompose", media)),
        "The run": ("run.json", lambda: _run(workdir / "run.json")),
    }
    if not any((workdir / name).exists() for name in _TRAINED):  # another model's results only
        parts = {title: part for title, part in parts.items() if (workdir / part[0]).exists()}
    found = []
    for title, (_, part) in parts.items():
        with waiting(f"Report: {title.lower()}"):
            found.append(Section(title, _or_why_not(part)))
    return found


def subtitle(workdir: Path) -> str:
    """Name of the run's config, if known."""
    try:
        config = json.loads((workdir / "run.json").read_text(encoding="utf-8"))["config_file"]
    except (OSError, ValueError, KeyError, TypeError):
        config = None
    return "A run of stiid" if config is None else f"A run of stiid with the config {config}"


def _or_why_not(part: Callable[[], Html]) -> Html:
    try:
        return part()
    except USER_ERRORS as error:
        return missing(f"Not shown: {error}")
    except KeyError as error:
        return missing(f"Not shown: its file has no field {error}")


def _scores(path: Path) -> Html:
    if not path.exists():
        return missing("There is no eval/metrics.json: --mode=eval writes it.")
    content = json.loads(path.read_text(encoding="utf-8"))
    caption = f"Means over {content['clips']} clips, {content['slots']} slots"
    return join(
        score_table(content["lengths"], corner="frames", caption=caption),
        facts({"Step": content["step"], "Data": content["data"]}),
    )


def _clips(workdir: Path, count: int, media: Media) -> Html:
    if count == 0:
        return missing("Not asked for (--clips=0).")
    experiment, state, source, system = restore(None, workdir, "latest")
    settings = dataclasses.replace(experiment.predict, clips=min(count, len(source)))
    clips, result = predict_clips(settings, experiment.evaluate, system, source, state.params)
    figures = clip_figures(clips, result, num_observed=settings.num_observed, media=media)
    text = (
        f"Held-out clips through the checkpoint of step {int(state.step)}. The last tile has the "
        "middle of each slot's pixels over the inferred frames, in the slot's color"
    )
    labelled = (
        "; only pixels of objects count, and true objects have wide pale lines."
        if clips.masks is not None
        else "."
    )
    return join(note(text + labelled), figures)


def _training(path: Path) -> Html:
    if not path.exists():
        return missing("There is no metrics.jsonl: --mode=train writes it.")
    rows = read_log(path)
    if not rows:
        return missing("metrics.jsonl is empty: nothing has been logged yet.")
    ends = stage_ends(rows)
    return join(
        note(
            f"{len(rows)} logged rows, up to step {rows[-1]['step']}. The numbers are the last "
            "values. " + ("Dashed lines: another clip length begins." if ends else "")
        ),
        charts(log_charts({"": rows}, marks=ends)),
    )


def _prediction(folder: Path, media: Media) -> Html:
    path = folder / "metrics.json"
    if not path.exists():
        return missing("There is no predict/metrics.json: --mode=predict writes it.")
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = {name: content[name] for name in ("observed", "simulated") if name in content}
    parts = [score_table(rows, corner="frames", caption=f"Means over {content['clips']} clips")]
    frames: Sequence[dict[str, Any]] = content.get("simulated_frames", ())
    if frames:
        parts.append(_frame_charts(frames))
    movies = [
        media.movie(path, f"Animation of {path.stem}: input, reconstruction, masks and slots")
        for path in sorted(folder.glob("clip_*.mp4"))
    ]
    parts += movies or [missing("There are no animations (predict/clip_*.mp4).")]
    return join(*parts)


def _frame_charts(frames: Sequence[dict[str, Any]]) -> Html:
    """Charts of each simulated frame's scores; the error is compared with the last frame's."""

    def curve(label: str, name: str) -> Curve:
        values = (frame[name] for frame in frames)
        return Curve(label, [(t, math.nan if v is None else v) for t, v in enumerate(values, 1)])

    figures = [
        line_chart(display_name(name), [curve("model", name)])
        for name in _FRAME_SCORES
        if name in frames[0]
    ]
    errors = [curve("model", "mse"), curve("last frame repeated", "copy_mse")]
    return join(
        tag("h3", "Simulated frames, one by one"),
        charts([*figures, line_chart(display_name("mse"), errors)]),
    )


def _images(folder: Path, media: Media) -> Html:
    paths = sorted(folder.glob("step_*_00.png"))
    if not paths:
        return missing("There are no pictures/step_*.png: training writes them.")
    kept = spaced(len(paths), _SHEETS)
    figures = []
    for path in (paths[i] for i in kept):
        step = int(path.stem.split("_")[1])
        alt = f"The first clip at step {step}: input, reconstruction, truth, masks and slots"
        figures.append(tag("details", tag("summary", f"Step {step}"), media.image(path, alt)))
    return join(
        note(f"The first held-out clip at {len(kept)} of {len(paths)} evaluations."), *figures
    )


def _run(path: Path) -> Html:
    if not path.exists():
        return missing("There is no run.json: --mode=train writes it.")
    card = json.loads(path.read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    devices = ", ".join(card["devices"])
    config = json.dumps(card["config"], indent=2)
    return join(
        facts({"Data": card["data"], "Devices": devices, "Versions": versions}),
        tag("details", tag("summary", "Config"), tag("pre", config)),
    )
