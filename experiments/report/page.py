"""The page around the sections of a report: one file without external resources."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.report.markup import Html, join, tag

_HERE = Path(__file__).parent
# Tells the browser to fetch nothing.
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


class Section(NamedTuple):
    """A part of a report with a heading."""

    title: str
    content: Html


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    names = [f"section-{i}" for i in range(len(sections))]
    links = [
        tag("a", section.title, href=f"#{name}")
        for name, section in zip(names, sections, strict=True)
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html((_HERE / "page.css").read_text(encoding="utf-8"))),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", subtitle), class_="top"),
        tag("nav", *links, aria_label="Sections"),
        tag(
            "main",
            *(
                tag("section", tag("h2", section.title), section.content, id=name)
                for name, section in zip(names, sections, strict=True)
            ),
        ),
        tag("script", Html((_HERE / "page.js").read_text(encoding="utf-8"))),
    )
    return f'<!doctype html>\n<html lang="en">{head}\n{body}</html>\n'


def missing(text: str) -> Html:
    """Say what a section cannot show, and why."""
    return tag("p", text, class_="missing")


def note(text: str) -> Html:
    """Explain what is shown."""
    return tag("p", text, class_="note")


def facts(entries: dict[str, object]) -> Html:
    """List names and values."""
    return tag("dl", *(join(tag("dt", k), tag("dd", v)) for k, v in entries.items()))
