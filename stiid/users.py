"""Users that a machine does not list, as containers and clusters have them."""

import functools
import grp
import pwd


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
