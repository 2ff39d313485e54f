"""One direction of dependencies, read from the source text (grain loads jax in any case)."""

import ast
import graphlib
from pathlib import Path

import pytest
import tiny

PACKAGE = tiny.ROOT / "stiid"

# The rooms in order: each imports only from itself and from rooms before it. "" stands for the
# files beside the rooms.
ROOMS = (
    "",
    "data",
    "kernels",
    "nn",
    "method",
    "models",
    "config",
    "outputs",
    "evaluation",
    "training",
    "interop",
    "cli",
)
# Entry points beside the command line.
ENTRIES = {"main", "data.__main__", "api"}

# Which library may be imported where: by room, or file beside the rooms.
ONLY = {
    "orbax": {"training"},
    "tensorboardX": {"training"},
    "absl": {"cli", "main"},
    "ml_collections": {"cli"},
    "optax": {"config", "training"},
    "flax": {"kernels", "nn", "models", "training"},
    "tensorflow_datasets": {"data"},
    "PIL": {"outputs", "media", "data"},
    "av": {"media", "data"},
    "h5py": {"data"},
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, at its head or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = {name_of(path): imports(path) for path in sorted(PACKAGE.rglob("*.py"))}
FOLDERS = {path.parent.name for path in PACKAGE.glob("*/*.py")}


def room(module: str) -> str:
    """The folder of a module; "" for files beside the folders."""
    if module in ENTRIES:
        return "cli"
    first = module.split(".")[0]
    return first if first in FOLDERS else ""


def own(names: set[str]) -> set[str]:
    """The modules of the package among imported names."""
    parts = [name.removeprefix("stiid.") for name in names if name.startswith("stiid.")]
    prefixes = {".".join(p.split(".")[:n]) for p in parts for n in range(1, p.count(".") + 2)}
    return (prefixes & FILES.keys()) - FOLDERS - {""}


def libraries(module: str) -> set[str]:
    """The top-level packages that a module imports."""
    return {name.split(".")[0] for name in FILES[module]}


MODULES = sorted(FILES.keys() - {"__init__"})


def test_the_rooms_are_the_folders():
    assert set(ROOMS) - {""} == FOLDERS
    assert own(FILES["method.inference"]) >= {"method.refinement", "method.elbo", "shapes"}


def test_rooms_import_from_the_rooms_below():
    for module in MODULES:
        for imported in own(FILES[module]):
            places = ROOMS.index(room(imported)), ROOMS.index(room(module))
            assert places[0] <= places[1], f"{module} imports {imported}"


def test_there_are_no_cycles():
    graph = {module: own(FILES[module]) for module in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(MODULES) - 2


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_in_its_place(library):
    users = {
        module.split(".")[0]
        for module, names in FILES.items()
        if any(name.split(".")[0] == library for name in names)
    }
    assert users
    assert users <= ONLY[library]


@pytest.mark.parametrize("room_name", ["kernels", "nn", "method"])
def test_the_method_knows_neither_data_nor_configs(room_name):
    for module in MODULES:
        if room(module) == room_name:
            rooms = {room(imported) for imported in own(FILES[module])}
            assert not rooms & {"data", "config"}, module


def test_data_and_images_do_without_jax():
    for module in MODULES:
        if room(module) in ("data", "outputs") or module in ("files", "media", "typed_config"):
            assert not libraries(module) & {"jax", "flax"}, module


def test_devices_are_the_business_of_one_file():
    """``pmap`` and collectives are named in parallel.py alone, and ``shard_map`` nowhere."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {part for name in FILES[name_of(path)] for part in name.split(".")}
        assert "shard_map" not in names, path
        if name_of(path) != "parallel":
            assert not names & {"pmap", "pmean", "psum", "all_gather"}, path


def test_nothing_needs_tensorflow():
    for module in MODULES:
        assert not libraries(module) & {"tensorflow", "clu"}, module
