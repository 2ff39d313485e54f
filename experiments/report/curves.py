"""Draw curves as SVG."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from experiments.report.markup import Html, tag
from experiments.report.tables import number_text

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 48, 312, 10, 164  # of the plot
COLORS = 8  # classes c0, c1, … of the style sheet
_DOTTED = 24  # curves of at most so many points show their points
_DECADES = 2  # powers of ten beyond which positive values get a logarithmic axis


class Curve(NamedTuple):
    """Values over steps, sorted by step; values that are not finite leave a gap."""

    label: str
    points: Sequence[tuple[float, float]]


class Axis(NamedTuple):
    """A map from a range of numbers to pixels."""

    low: float
    high: float
    start: float  # the pixel of ``low``
    end: float
    logarithmic: bool
    ticks: Sequence[float]

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def line_chart(title: str, curves: Sequence[Curve], *, marks: Sequence[float] = ()) -> Html:
    """Draw a figure with a legend that gives the last values.

    Args:
      title: what is shown.
      curves: at least one.
      marks: steps to draw a vertical line at.
    """
    finite = [(x, y) for c in curves for x, y in c.points if math.isfinite(y)]
    if not finite:
        return tag("figure", tag("figcaption", title), tag("p", "no finite value"), class_="chart")
    x_axis = linear_axis([x for x, _ in finite] + list(marks), LEFT, RIGHT, round_out=False)
    y_axis = value_axis([y for _, y in finite])
    drawing = tag(
        "svg",
        *_grid(x_axis, y_axis, marks),
        *(part for i, curve in enumerate(curves) for part in _drawn(curve, i, x_axis, y_axis)),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}: " + "; ".join(_spoken(curve) for curve in curves),
    )
    scale = " (logarithmic)" if y_axis.logarithmic else ""
    legend = [
        tag(
            "span",
            tag("i", class_=f"c{i % COLORS}"),
            f"{curve.label} " if len(curves) > 1 else "",
            tag("b", _last(curve)),
        )
        for i, curve in enumerate(curves)
    ]
    caption = tag(
        "figcaption", tag("span", f"{title}{scale}"), tag("span", *legend, class_="legend")
    )
    return tag("figure", caption, drawing, class_="chart")


def charts(figures: Sequence[Html]) -> Html:
    """Put charts side by side, as many as fit into a line."""
    return tag("div", *figures, class_="charts")


def value_axis(values: Sequence[float]) -> Axis:
    """The vertical axis: logarithmic if the values are positive and spread widely."""
    low, high = min(values), max(values)
    if low > 0 and high > low * 10**_DECADES:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        every = -(-(last - first) // 4)
        ticks = [10.0**n for n in range(first, last + 1, every)]
        return Axis(10.0**first, 10.0**last, BOTTOM, TOP, True, ticks)
    return linear_axis(values, BOTTOM, TOP, round_out=True)


def linear_axis(values: Sequence[float], start: float, end: float, *, round_out: bool) -> Axis:
    """An axis with a few round ticks.

    Args:
      values: to cover.
      start: pixel of the smallest.
      end: pixel of the largest.
      round_out: let the axis begin and end at ticks.
    """
    low, high = min(values), max(values)
    if low == high:
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    below, above = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if not round_out:
        below, above = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [n * step for n in range(below, above + 1)]
    if round_out:
        low, high = ticks[0], ticks[-1]
    return Axis(low, high, start, end, False, ticks)


def _grid(x_axis: Axis, y_axis: Axis, marks: Sequence[float]) -> Iterator[Html]:
    for value in y_axis.ticks:
        y = _pixel(y_axis(value))
        yield tag("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_="grid")
        yield tag("text", _tick(value), x=LEFT - 6, y=y, class_="y")
    for value in x_axis.ticks:
        yield tag("text", _tick(value), x=_pixel(x_axis(value)), y=BOTTOM + 18, class_="x")
    for value in marks:
        x = _pixel(x_axis(value))
        yield tag("line", x1=x, x2=x, y1=TOP, y2=BOTTOM, class_="mark")


def _drawn(curve: Curve, number: int, x_axis: Axis, y_axis: Axis) -> Iterator[Html]:
    color = f"c{number % COLORS}"
    path, drawing = [], False
    for x, y in curve.points:
        drawn = math.isfinite(y)
        if drawn:
            path.append(f"{'L' if drawing else 'M'}{_pixel(x_axis(x))} {_pixel(y_axis(y))}")
        drawing = drawn
    yield tag("path", d="".join(path), class_=color)
    if len(curve.points) <= _DOTTED:
        for x, y in curve.points:
            if math.isfinite(y):
                yield tag("circle", cx=_pixel(x_axis(x)), cy=_pixel(y_axis(y)), r=2.5, class_=color)


def _tick(value: float) -> str:
    size = abs(value)
    if 1e4 <= size < 1e7:
        return f"{value / 1000:g}k".replace("-", "−")
    text = f"{value:.4g}" if size == 0 or 1e-4 <= size < 1e7 else f"{value:.0e}"
    return text.replace("-", "−")


def _pixel(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _last(curve: Curve) -> str:
    return number_text(curve.points[-1][1]) if curve.points else "–"


def _spoken(curve: Curve) -> str:
    if not curve.points:
        return f"{curve.label} has no values"
    (first, before), (last, after) = curve.points[0], curve.points[-1]
    return (
        f"{curve.label} from {number_text(before)} at {first:g} to {number_text(after)} at {last:g}"
    )
