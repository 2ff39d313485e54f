"""Messages of third-party errors in one line, and remedies for errors of the file system."""

import errno
import logging
import os

# Errors that do not concern the content of a file, and their remedies.
_PASSING = {
    **dict.fromkeys(
        (errno.EAGAIN, errno.EBUSY, errno.ETXTBSY, errno.EDEADLK),
        "another process uses it: wait for that process, or end it",
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "give this user the permission, or use another place",
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE), "too many files are open: raise the limit (ulimit -n)"
    ),
    errno.ENOMEM: "there is too little memory: end other programs, or use less",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, or use another disk"),
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
        "this file system cannot do that: use another one",
    ),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN),
        "the file system does not respond correctly: try again, and check its state",
    ),
}
_LONGEST = 500  # characters of another library's message
_LONGEST_LINE = 2000  # characters of our own messages, which may quote a value
_BY_TEXT = {os.strerror(number).lower(): number for number in _PASSING}


def first_line(error: BaseException) -> str:
    """First line of an error's message, shortened if it is long.

    TensorStore adds all its settings, thousands of characters, to its messages on damaged files.
    """
    line = (str(error).strip() or repr(error)).splitlines()[0].partition(" [tensorstore_spec")[0]
    return _shortened(line, _LONGEST)


def remedy(error: BaseException, damaged: str) -> str:
    """Advice on an error in reading a file.

    Locks, permissions and limits do not mean that the file is damaged: no advice to delete, replace
    or download it again is given for those.

    Args:
      error: as caught; its causes are considered too.
      damaged: the advice if the file itself is damaged.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError):
            return _PASSING[errno.ENOMEM]
        number = seen.errno if isinstance(seen, OSError) else None
        text = str(seen).lower()  # C++ libraries give the error as text only
        found = next((n for words, n in _BY_TEXT.items() if words in text), None)
        if number in _PASSING or found is not None:
            return _PASSING[found if number not in _PASSING else number]  # type: ignore[index]
        seen = seen.__cause__ or seen.__context__
    return damaged


def printable(text: str) -> str:
    r"""Escape control characters, which a terminal would execute: `ESC` becomes `\x1b`.

    Bytes of file names that are not UTF-8 are escaped too, so that the result can be encoded.
    """
    return "".join(part if part.isprintable() else repr(part)[1:-1] for part in text)


def one_line(error: BaseException | str) -> str:
    """Escape an error message for a terminal, join its lines, and shorten it if it is long."""
    return _shortened(printable(" ".join(str(error).split())), _LONGEST_LINE)


def escape_log(record: logging.LogRecord) -> bool:
    """Escape each line of a log message as `printable` does; a filter for loggers."""
    record.msg = "\n".join(map(printable, record.getMessage().split("\n")))
    record.args = ()
    return True


def _shortened(line: str, longest: int) -> str:
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
