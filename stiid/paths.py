"""Paths that users name, all of the local file system, and users that a machine does not list."""

import functools
import grp
import pwd
import re
from pathlib import Path

# Two slashes or one: pathlib joins them. A single letter is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(text: str, option: str) -> Path:
    """The absolute path that an option names, with ``~`` expanded.

    Args:
      text: as the user wrote it.
      option: its name, for messages.

    Raises:
      ValueError: it names a bucket or another URL, or the home of a user that has none.
    """
    refuse_url(text, option)
    if "\0" in text:
        raise ValueError(f"{option} holds a zero byte, which no path does: {text!r}")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # no HOME, and no entry in the list of users
        raise ValueError(
            f"{option}={text}: this user has no home folder (~): set HOME, or name another folder"
        ) from error
    try:
        return path.resolve()
    except RuntimeError as error:  # Python 3.11 and 3.12 say so of links
        raise ValueError(f"{option}={text}: {error}") from error


def refuse_url(text: str, option: str) -> None:
    """Refuse what would become a local folder named ``gs:``."""
    if _URL.match(text):
        raise ValueError(
            f"{option}={text}: only local paths are read and written: mount the bucket, or copy it"
        )


@functools.cache
def name_unlisted_users() -> None:
    """Let users and groups without an entry go by their numbers.

    Libraries that store data ask for the names of a file's owners, and fail where there are none
    (``docker run --user``). To be called before they are used; nothing changes for those listed.
    """
    listed_user, listed_group = pwd.getpwuid, grp.getgrgid

    def user(uid: int, /) -> pwd.struct_passwd:
        try:
            return listed_user(uid)
        except KeyError:
            return pwd.struct_passwd((str(uid), "x", uid, uid, "", "~", ""))  # a home, unknown

    def group(id: int) -> grp.struct_group:
        try:
            return listed_group(id)
        except KeyError:
            return grp.struct_group((str(id), "x", id, []))

    pwd.getpwuid, grp.getgrgid = user, group
