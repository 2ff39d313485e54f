"""Tables of scores: numbers right-aligned, with the same decimals in a column."""

import math
from collections.abc import Mapping

from experiments.report.markup import Html, tag

# Scores in the order in which they are shown.
NAMES = {
    "f_ari": "F-ARI",
    "f_ari_frame": "F-ARI per frame",
    "f_ari_authors": "F-ARI as the authors",
    "ari": "ARI",
    "ari_frame": "ARI per frame",
    "ari_authors": "ARI as the authors",
    "miou": "mIoU",
    "recall": "object recall",
    "mse": "MSE",
    "slot_switches": "slot switches",
}
_ACRONYMS = {"kl": "KL", "nll": "NLL", "bce": "BCE", "psnr": "PSNR", "ssim": "SSIM"}


def display_name(name: str) -> str:
    """Name of a score for readers."""
    return NAMES.get(name) or _ACRONYMS.get(name) or name.replace("_", " ")


def score_table(rows: Mapping[str, Mapping[str, object]], *, corner: str, caption: str) -> Html:
    """One row per entry of a mapping, one column per name that any of them has.

    Args:
      rows: label of a row → name of a column → number or text; missing cells are dashes.
      corner: heading of the labels.
      caption: what the table shows.
    """
    present = dict.fromkeys(name for row in rows.values() for name in row)
    columns = [name for name in NAMES if name in present]
    columns += [name for name in present if name not in NAMES]
    decimals = {name: _decimals([row.get(name) for row in rows.values()]) for name in columns}
    head = [tag("th", display_name(name), scope="col") for name in columns]
    lines = [
        tag(
            "tr",
            tag("th", label, scope="row"),
            *(tag("td", _cell(row.get(name), decimals[name])) for name in columns),
        )
        for label, row in rows.items()
    ]
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", tag("th", corner, scope="col") if corner else tag("td"), *head)),
        tag("tbody", *lines),
    )
    # Wide tables scroll separately, also by keyboard.
    return tag("div", table, class_="wide", tabindex=0, role="region", aria_label=caption)


def number_text(value: float, decimals: int | None = None) -> str:
    """A number as it is shown, with a real minus sign."""
    return f"{value:.{_decimals([value]) if decimals is None else decimals}f}".replace("-", "−")


def _decimals(values: list[object]) -> int:
    """Decimals for about four digits of the largest number; 0 if all are integers."""
    numbers = [abs(v) for v in values if isinstance(v, float | int) and math.isfinite(v)]
    if all(isinstance(number, int) for number in numbers):
        return 0
    largest = max(numbers)
    if 0 < largest < 1e-3:
        return 7
    return 4 if largest < 10 else 2 if largest < 1000 else 0


def _cell(value: object, decimals: int) -> Html | str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, float | int):
        return str(value)
    # ``value`` keeps the exact number.
    return tag("data", number_text(value, decimals), value=repr(value))
