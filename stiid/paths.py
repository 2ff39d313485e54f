"""Paths given by users, which must be local, and users that are missing in the machine's list."""

import functools
import grp
import pwd
import re
from pathlib import Path

# One slash is enough, since pathlib joins two. A single letter is a drive, not a protocol.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(text: str, option: str) -> Path:
    """Absolute path given by an option, with ``~`` expanded.

    Args:
      text: as the user wrote it.
      option: its name, for messages.

    Raises:
      ValueError: it is a bucket or another URL, or ``~`` of a user without a home folder.
    """
    refuse_url(text, option)
    if "\0" in text:
        raise ValueError(f"{option} contains a zero byte, which paths must not: {text!r}")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # no HOME, and no entry in the list of users
        raise ValueError(
            f"{option}={text}: this user has no home folder (~): set HOME, or name another folder"
        ) from error
    try:
        return path.resolve()
    except RuntimeError as error:  # a loop of links, in Python 3.11 and 3.12
        raise ValueError(f"{option}={text}: {error}") from error


def refuse_url(text: str, option: str) -> None:
    """Refuse URLs, which would otherwise become a local folder such as ``gs:``."""
    if _URL.match(text):
        raise ValueError(
            f"{option}={text}: only local paths are read and written: mount the bucket, or copy it"
        )


@functools.cache
def name_unlisted_users() -> None:
    """Give users and groups without an entry their numbers as names.

    Libraries that store data ask for the names of a file's owners, and fail if there are none
    (``docker run --user``). To be called before these libraries are used; users and groups with an
    entry keep their names.
    """
    listed_user, listed_group = pwd.getpwuid, grp.getgrgid

    def user(uid: int, /) -> pwd.struct_passwd:
        try:
            return listed_user(uid)
        except KeyError:
            return pwd.struct_passwd((str(uid), "x", uid, uid, "", "~", ""))  # home unknown

    def group(id: int) -> grp.struct_group:
        try:
            return listed_group(id)
        except KeyError:
            return grp.struct_group((str(id), "x", id, []))

    pwd.getpwuid, grp.getgrgid = user, group
