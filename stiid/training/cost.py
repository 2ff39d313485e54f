"""Estimate how much an update computes, and how long that takes on CPUs, before training."""

import math
from collections.abc import Iterator
from typing import Any

import jax

_RATE = 8e10  # operations per second on one core, in convolutions and matrix products
_ELEMENT = 11.0  # operations per output element of all other instructions: memory is slow
_BACKWARD = 3.0  # cost of an update, in evaluations of its loss


def operations(function: Any, arguments: tuple[Any, ...]) -> float:
    """Count the operations of a function of arrays.

    Args:
      function: to be traced.
      arguments: shapes of its arguments.
    """
    return _operations(jax.make_jaxpr(function)(*arguments).jaxpr)


def update_seconds(loss: Any, arguments: tuple[Any, ...], *, clips: int, cores: int) -> float:
    """Estimate the seconds that an update takes on CPUs, within a factor of about three.

    Args:
      loss: function that is differentiated.
      arguments: shapes of its arguments, for one clip.
      clips: number of clips in the batch.
      cores: number of cores that share the work.
    """
    return _BACKWARD * clips * operations(loss, arguments) / (_RATE * cores)


def _operations(jaxpr: Any) -> float:
    """Operations of a program; loops of unknown length count once."""
    total = 0.0
    for equation in jaxpr.eqns:
        turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        inner = [_operations(part) for part in _programs(equation.params)]
        total += turns * sum(inner) if inner else _own(equation)
    return total


def _own(equation: Any) -> float:
    """Operations of one instruction."""
    out = sum(math.prod(getattr(v.aval, "shape", ())) for v in equation.outvars)
    name, params = equation.primitive.name, equation.params
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        return 2.0 * out * math.prod(kernel) / kernel[params["dimension_numbers"].rhs_spec[0]]
    if name == "dot_general":
        (axes, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2.0 * out * math.prod(shape[axis] for axis in axes)
    return _ELEMENT * out


def _programs(params: Any) -> Iterator[Any]:
    """The programs within an instruction."""
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            part = getattr(part, "jaxpr", part)
            if hasattr(part, "eqns"):
                yield part
