"""What it means to survive a fault, and where the attempts of a kind take place."""

import contextlib
import random
from collections.abc import Iterator
from typing import Protocol

from stiid.errors import one_line

LIMIT = 60.0  # seconds that anything may take
_LONGEST = 2000  # characters of a message


class Fault(Exception):
    """A fault that was not survived: a hang, a traceback, a silent difference, a loss."""


class Kind(Protocol):
    """Faults of one kind."""

    def attempt(self, chance: random.Random) -> None:
        """Make one fault, which chance decides.

        Raises:
          Fault: it was not survived.
        """

    def close(self) -> None:
        """Check what can only be checked at the end.

        Raises:
          Fault: an earlier attempt was not survived.
        """


def check_message(text: str) -> None:
    """What a user reads of an error is one line of bounded length."""
    if not text or "\n" in text.strip() or len(text) > _LONGEST or "Traceback" in text:
        raise Fault(f"no message of one line: {text[-_LONGEST:]!r}")


@contextlib.contextmanager
def refusal() -> Iterator[None]:
    """What may be raised in here is an error of one line that a user can mend."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        check_message(one_line(error))  # as the command line shows it
    except Fault:
        raise
    except BaseException as error:
        raise Fault(f"{type(error).__name__}: {error}"[:_LONGEST]) from error
