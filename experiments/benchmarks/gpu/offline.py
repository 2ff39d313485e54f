"""Download wheels for a machine without a network: packages that are needed and missing there.

    python -m experiments.benchmarks.gpu.offline --have=FILE --output=DIR [--python=3.12]
        [--without mujoco-core h5py] [--limit_mb=60]

``FILE`` lists the packages of that machine, one per line (as from ``pip list --format=freeze``).
Missing ones are downloaded from PyPI for Linux on x86-64, in the versions of the environment that
runs this command, which should be a working one. On the other machine, without a network:

    python -m pip install --no-index --no-deps --target=SITE DIR/*.whl
    PYTHONPATH=SITE python -m experiments.benchmarks.gpu --output=…

``--without``: packages to leave out, such as those that a training on balls never imports.
"""

import argparse
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
PLATFORMS = tuple(f"manylinux_2_{n}_x86_64" for n in (39, 35, 34, 31, 28, 27, 24, 17))
PLATFORMS += ("manylinux2014_x86_64", "manylinux1_x86_64")
UNUSED = ("mujoco-core", "h5py")


def missing(wanted: Iterable[str], have: Iterable[str], *, python: str) -> dict[str, str]:
    """Names and versions of all packages that are needed, directly or indirectly, and missing.

    Args:
      wanted: requirements, as in pyproject.toml.
      have: names of packages, which bring their own requirements with them.
      python: version of the machine's Python, such as "3.12".
    """
    machine = {"python_version": python, "python_full_version": f"{python}.0"}
    machine |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    there, found = {canonicalize_name(name) for name in have}, {}
    open_ones = [Requirement(text) for text in wanted]
    while open_ones:
        requirement = open_ones.pop()
        name = canonicalize_name(requirement.name)
        extras = ["", *requirement.extras]
        if requirement.marker and not any(
            requirement.marker.evaluate({**machine, "extra": extra}) for extra in extras
        ):
            continue
        if name in there or (name in found and not requirement.extras):
            continue
        package = importlib.metadata.distribution(name)
        found[name] = package.version
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(
                needed.marker.evaluate({**machine, "extra": extra}) for extra in extras
            ):
                needed.marker = None
                open_ones.append(needed)
    return dict(sorted(found.items()))


def names_in(text: str) -> list[str]:
    """Names of packages from a list of them, with versions or without."""
    return re.findall(r"^([A-Za-z0-9][\w.-]*)", text, re.MULTILINE)


def download(packages: dict[str, str], folder: Path, *, python: str) -> None:
    """Get the wheel of each; one of pure Python that has none is built here."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip"]
    target = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    target += [f"--platform={platform}" for platform in PLATFORMS]
    for name, version in packages.items():
        pinned = f"{name}=={version}"
        where = ["-q", "--no-deps", f"{pinned}"]
        got = subprocess.run([*pip, "download", *target, "-d", str(folder), *where])
        if got.returncode:
            print(f"{pinned} has no wheel for Python {python}: it is built", flush=True)
            subprocess.run([*pip, "wheel", "-w", str(folder), *where], check=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--have", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--without", nargs="*", default=UNUSED)
    parser.add_argument("--limit_mb", type=float, default=60.0)
    options = parser.parse_args(argv)
    wanted = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    there = [*names_in(options.have.read_text(encoding="utf-8")), *options.without]
    packages = missing(wanted, there, python=options.python)
    print("\n".join(f"{name}=={version}" for name, version in packages.items()), flush=True)
    download(packages, options.output, python=options.python)
    total = sum(path.stat().st_size for path in options.output.iterdir()) / 1e6
    print(f"{total:.1f} MB in {options.output}")
    if total > options.limit_mb:
        print(f"error: more than --limit_mb={options.limit_mb:g}: name more with --without")
    return int(total > options.limit_mb)


if __name__ == "__main__":
    raise SystemExit(main())
