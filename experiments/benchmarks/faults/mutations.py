"""Changes of a file's bytes: as disks and networks make them, and as an attacker might."""

import random
import re
from collections.abc import Callable

_MOST = 8  # changes of one input
# What stands in for a number or a word of a text.
_ODD = (
    *("NaN", "-1", "1e999", "0", "1" * 400, "null", "true", '""', "[]", "{}", "-Infinity"),
    *('"\\u001b[31m"', "9223372036854775808", "[" * 100_000, '{"a":' * 50_000, '"\\ud800"'),
)


def mutated(content: bytes, chance: random.Random, *, text: bool) -> bytes:
    """A content with some changes.

    Args:
      content: of a file.
      chance: decides which.
      text: words and numbers are replaced too.
    """
    result = bytearray(content)
    for _ in range(chance.randint(1, _MOST)):
        change = chance.choice([*_CHANGES, *[_word] * (4 if text else 0)])
        if result:
            change(result, chance)
    return bytes(result)


def _bit(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _byte(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] = chance.choice([0, 255, chance.randrange(256)])


def _numbers(content: bytearray, chance: random.Random) -> None:
    """A field of four bytes becomes a large, or a negative, number."""
    place = chance.randrange(len(content))
    value = chance.choice([2**31 - 1, 2**32 - 1, 2**31, 2**16, chance.getrandbits(32)])
    content[place : place + 4] = value.to_bytes(4, chance.choice(["little", "big"]))


def _cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def _leave_out(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(content))
    del content[place : place + chance.randint(1, 64)]


def _repeat(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(content))
    part = content[place : place + chance.randint(1, 512)]
    content[place:place] = part * chance.randint(1, 4)


def _zeros(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(content))
    end = min(len(content), place + chance.randint(1, 512))
    content[place:end] = bytes(end - place)


def _word(content: bytearray, chance: random.Random) -> None:
    words = list(re.finditer(rb'-?\d[\d.eE+-]*|"[^"]*"|\w+', bytes(content)))
    if words:
        word = chance.choice(words)
        content[word.start() : word.end()] = chance.choice(_ODD).encode()


_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_bit, _bit, _byte, _numbers, _cut, _leave_out, _repeat, _zeros),
)
