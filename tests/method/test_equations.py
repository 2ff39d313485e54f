"""The table of equations in ``stiid.method`` names functions that say which equation they are."""

import importlib
import inspect
import re

from stiid import method

ROW = re.compile(r"^(Eq\. \d)?\s+.*``(\w+)\.(\w+)``", re.MULTILINE)


def table():
    """The equation and function of each row; a row without an equation continues the last."""
    text = method.__doc__[: method.__doc__.rindex("=====")]
    rows, equation = [], None
    for found in ROW.finditer(text):
        equation = found[1] or equation
        rows.append((equation, found[2], found[3]))
    return rows


def test_functions_exist_and_name_their_equation():
    for equation, module, name in table():
        function = getattr(importlib.import_module(f"stiid.method.{module}"), name)
        assert equation in inspect.getdoc(function), f"{module}.{name}: {equation}"


def test_every_equation_has_a_function():
    """Eq. 2 is Eq. 4 without time, as the text below the table says."""
    numbers = {int(equation[-1]) for equation, _, _ in table()}
    assert numbers == {1, 3, 4, 5, 6, 7}
    assert "Eq. 2 is Eq. 4" in method.__doc__
