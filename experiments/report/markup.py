"""Safe HTML: all text that ``tag`` did not make is escaped."""

import html

# An attribute is text, a number, True (no value) or None (left out).
Attribute = str | int | float | bool | None

_VOID = {"img", "input", "meta"}  # have no content


class Html(str):
    """Markup, as opposed to text."""


def tag(name: str, /, *children: object, **attributes: Attribute) -> Html:
    """An element; text among its children is escaped.

    In names of attributes "_" stands for "-", and a last "_" is dropped: ``class_``.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        parts.append(key if value is True else f'{key}="{html.escape(str(value))}"')
    opening = f"<{' '.join(parts)}>"
    if name in _VOID:
        return Html(opening)
    return Html(f"{opening}{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """Markup and text, one after the other."""
    return Html("".join(c if isinstance(c, Html) else html.escape(str(c)) for c in children))
