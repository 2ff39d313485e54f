"""What errors of other libraries say, for errors of ours that tell what to do."""

import errno
import logging
import os

# Errors that say nothing about the content of a file, and what to do about each.
_PASSING = {
    **dict.fromkeys(
        (errno.EAGAIN, errno.EBUSY, errno.ETXTBSY, errno.EDEADLK),
        "another process holds it: wait for that, or end it",
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "give this user the right to it, or use another place",
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE), "too many files are open: raise the limit (ulimit -n)"
    ),
    errno.ENOMEM: "there is too little memory: end other programs, or ask for less",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, or use another disk"),
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
        "this file system cannot do that: use another one",
    ),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN),
        "the file system does not answer as it should: try again, and look at its health",
    ),
}
_LONGEST = 500  # characters of another library's message
_LONGEST_LINE = 2000  # characters of a message of ours, which may quote a value
_BY_TEXT = {os.strerror(number).lower(): number for number in _PASSING}


def first_line(error: BaseException) -> str:
    """What an error says, in one line of bounded length.

    TensorStore adds all its settings, thousands of characters, to what it says of a damaged file.
    """
    line = (str(error).strip() or repr(error)).splitlines()[0].partition(" [tensorstore_spec")[0]
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def remedy(error: BaseException, damaged: str) -> str:
    """What to do about an error in reading a file.

    Locks, rights and limits say nothing about what is in a file: nobody is told to delete, replace
    or fetch again what may be whole.

    Args:
      error: as caught; its causes count too.
      damaged: the advice if the file itself is to blame.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError):
            return _PASSING[errno.ENOMEM]
        number = seen.errno if isinstance(seen, OSError) else None
        text = str(seen).lower()  # libraries in C++ give numbers as text only
        found = next((n for words, n in _BY_TEXT.items() if words in text), None)
        if number in _PASSING or found is not None:
            return _PASSING[found if number not in _PASSING else number]  # type: ignore[index]
        seen = seen.__cause__ or seen.__context__
    return damaged


def printable(text: str) -> str:
    r"""Text that a terminal shows and does not obey: `ESC` becomes `\x1b`.

    So does every byte of a file name that is no UTF-8. The result can be encoded.
    """
    return "".join(part if part.isprintable() else repr(part)[1:-1] for part in text)


def one_line(error: BaseException | str) -> str:
    """A message for a terminal, in one line of bounded length."""
    line = printable(" ".join(str(error).split()))
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


def escape_log(record: logging.LogRecord) -> bool:
    """A filter for loggers: each line of a message as `printable` gives it."""
    record.msg = "\n".join(map(printable, record.getMessage().split("\n")))
    record.args = ()
    return True
