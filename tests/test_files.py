"""Files are complete or do not exist, whatever happens to the process or the disk."""

import errno
import fcntl
import os
import re
import subprocess
import sys

import pytest
import tiny

from stiid import files
from stiid.errors import remedy
from stiid.files import atomic_directory, atomic_path, sole_writer, sweep
from stiid.paths import local_path


def test_directories_are_replaced_whole_or_not_at_all(tmp_path):
    def write(text):
        with atomic_directory(tmp_path / "out") as folder:
            (folder / text).write_text(text)
            if text == "bad":
                raise RuntimeError

    write("first")
    with pytest.raises(RuntimeError):
        write("bad")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["first"]
    write("second")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_replaced_stays(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("")
    replace = os.replace

    def refuse(source, target):
        if str(source).endswith(".tmp"):
            raise OSError("no")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files, "_exchange", lambda *paths: False)
    with pytest.raises(OSError, match="no"), atomic_directory(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_a_folder_has_one_writer(tmp_path):
    with (
        sole_writer(tmp_path / "run"),
        pytest.raises(ValueError, match="another process writes to"),
        sole_writer(tmp_path / "run"),
    ):
        raise AssertionError
    with sole_writer(tmp_path / "run"):
        pass


KILLED = """
import os, sys
from pathlib import Path
from stiid import files

folder = Path(sys.argv[1])
if sys.argv[2] == "two steps":
    files._exchange = lambda *paths: False
    replace, renamed = os.replace, []

    def once(source, target):
        if renamed:
            os._exit(9)
        renamed.append(target)
        replace(source, target)

    os.replace = once
with files.atomic_directory(folder / "out") as unfinished:
    (unfinished / "new").write_text("")
    with files.atomic_path(folder / "file.txt") as other:
        other.write_text("")
        if sys.argv[2] == "unfinished":
            os._exit(9)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["unfinished", "two steps"])
def test_what_killed_processes_left_is_swept(tmp_path, moment):
    """Killed while it wrote, or between the two renames of systems that cannot exchange."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    (tmp_path / ".hidden.tmp").touch()  # not ours
    command = [sys.executable, "-c", KILLED, str(tmp_path), moment]
    assert subprocess.run(command, cwd=tiny.ROOT, check=False).returncode == 9
    assert len(list(tmp_path.iterdir())) > 2
    sweep(tmp_path)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    written = ["file.txt"] if moment == "two steps" else []
    assert names == [".hidden.tmp", *written, "out", "out/old"]


def test_what_is_being_written_is_not_swept(tmp_path):
    with atomic_directory(tmp_path / "out") as first:
        with atomic_directory(tmp_path / "out") as second:
            assert first.is_dir()
            assert second != first
        with atomic_path(tmp_path / "file") as path:
            path.touch()
            sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


def test_a_folder_is_there_at_every_moment_of_its_replacement(tmp_path, monkeypatch):
    """Where the system can exchange two names, no step is without one of them."""
    target = tmp_path / "out"
    target.mkdir()
    if not files._exchange(target, target):
        pytest.skip("this system cannot exchange directories")
    monkeypatch.setattr(os, "replace", None)
    with atomic_directory(target) as unfinished:
        (unfinished / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]


@pytest.mark.parametrize("write", [atomic_directory, atomic_path])
def test_a_full_disk_names_the_path(tmp_path, write):
    message = r"No space left on device: '.*/out'$"
    with pytest.raises(OSError, match=message), write(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError, match="other"), write(tmp_path / "out"):
        os.stat("/nowhere/other")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_names_no_hidden_file(tmp_path):
    """Whoever opens a file itself raises an error with its name."""

    def fail(name):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    place = re.escape(str(tmp_path / "out"))
    with (
        pytest.raises(OSError, match=rf"No space left on device: '{place}/part/a\.png'$"),
        atomic_directory(tmp_path / "out") as unfinished,
    ):
        fail(str(unfinished / "part" / "a.png"))
    with (
        pytest.raises(OSError, match=rf"No space left on device: '{place}/a\.png'$"),
        atomic_directory(tmp_path / "out") as unfinished,
        atomic_path(unfinished / "a.png") as temporary,
    ):
        fail(temporary)
    with pytest.raises(OSError, match=r"'/elsewhere'$"), atomic_path(tmp_path / "a.png"):
        fail("/elsewhere")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EBADF])
def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch, told, number):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with sole_writer(tmp_path):
        pass
    assert f"{tmp_path} is on a file system without locks" in told.text


def test_other_errors_of_locks_are_errors(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), sole_writer(tmp_path):
        pass


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BlockingIOError(errno.EAGAIN, "locked"), "another process uses it"),
        (PermissionError(errno.EACCES, "no"), "give this user the permission"),
        (OSError(errno.EMFILE, "many"), r"raise the limit \(ulimit -n\)"),
        (ValueError("PERMISSION_DENIED: Permission denied [OS error 13]"), "give this user the"),
        (RuntimeError("...: No space left on device"), "make room"),
        (MemoryError(), "too little memory"),
        (ValueError("bad magic number"), "^fetch it again$"),
        (OSError(errno.ENOENT, "no"), "^fetch it again$"),
    ],
)
def test_nobody_is_told_to_replace_what_may_be_whole(error, words):
    with pytest.raises(ValueError, match=words):
        raise ValueError(remedy(error, "fetch it again"))
    try:
        raise ValueError("a library") from error
    except ValueError as wrapped:
        with pytest.raises(ValueError, match=words):
            raise ValueError(remedy(wrapped, "fetch it again")) from None


@pytest.mark.parametrize("text", ["gs://bucket/run", "s3://a", "gs:/a", "hdfs://a", "file:///a"])
def test_only_local_paths_are_taken(text):
    with pytest.raises(ValueError, match=f"^--workdir={text}: only local paths"):
        local_path(text, "--workdir")


def test_local_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert local_path("a:b/c", "--workdir") == tmp_path / "a:b" / "c"
    assert str(local_path("~/runs", "--workdir")) == "/home/someone/runs"


def test_a_user_without_a_home_is_told(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(ValueError, match=r"data_dir=~/data: this user has no home folder"):
        local_path("~/data", "data_dir")
    assert str(local_path("/data", "data_dir")) == "/data"


def test_users_without_an_entry_go_by_their_numbers():
    program = (
        "import grp, os, pwd\nfrom stiid.paths import name_unlisted_users\n"
        "root = pwd.getpwuid(0)\nname_unlisted_users()\nassert pwd.getpwuid(0) == root\n"
        "print(pwd.getpwuid(54321).pw_name, grp.getgrgid(54321).gr_name)\n"
        "pwd.getpwuid = lambda uid, get=pwd.getpwuid: get(54321)\n"
        "os.environ.pop('HOME', None)\nprint(os.path.expanduser('~/a'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tiny.ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.split() == ["54321", "54321", "~/a"], result.stderr
