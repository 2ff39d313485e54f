"""One direction of dependencies, read from the source text (grain loads jax in any case)."""

import ast
import graphlib
from pathlib import Path

import pytest
import tiny

PACKAGE = tiny.ROOT / "stiid"

# A module imports from its own layer or from layers above it in this list. "nn" means "nn.*".
LAYERS = (
    {
        "shapes",
        "files",
        "cores",
        "errors",
        "config",
        "grid",
        "metrics",
        "curriculum",
        "optim",
        "parallel",
        "viz",
        "spacing",
        "short_sums",
    }
    | {"overlay", "trajectories", "tracking"},
    {"animation", "writer", "interrupt", "state", "system", "latents", "likelihood", "data"}
    | {"decomposition_files"},
    {"nn"},
    {"model", "elbo", "cell", "inference", "objective", "spatiotemporal", "baselines"}
    | {"spatiotemporal_config"},
    {"experiment", "compatibility", "checkpoint", "rollout", "validation"},
    {"diagnostics"},
    {"evaluate", "predict", "decompose", "motion"},
    {"update", "train", "preflight", "import_model"},
    {"restore"},
    {"run", "main"},
)

# Who may import what, by the first part of the module's name.
ONLY = {
    "orbax": {"checkpoint"},
    "tensorboardX": {"writer"},
    "absl": {"main"},
    "ml_collections": {"main"},
    "optax": {"optim", "update"},
    "flax": {"nn", "state", "baselines"},
    "tensorflow_datasets": {"data"},
    "PIL": {"viz", "animation", "data", "decomposition_files"},
    "av": {"animation", "data"},
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


def layer(module: str) -> int:
    matches = [i for i, layer in enumerate(LAYERS) if module.split(".")[0] in layer]
    assert len(matches) == 1, f"{module} needs a place in LAYERS"
    return matches[0]


def own(names: set[str]) -> set[str]:
    """The modules of the package among imported names."""
    parts = [name.removeprefix("stiid.") for name in names if name.startswith("stiid.")]
    prefixes = {".".join(p.split(".")[:n]) for p in parts for n in range(1, p.count(".") + 2)}
    return (prefixes & FILES.keys()) - {"data", "nn", ""}


def libraries(module: str) -> set[str]:
    """The top-level packages that a module imports."""
    return {name.split(".")[0] for name in FILES[module]}


MODULES = sorted(FILES.keys() - {"__init__"})


def test_there_are_modules():
    assert {"nn.decoder", "data.pipeline", "inference", "main"} <= FILES.keys()
    assert own(FILES["inference"]) >= {"cell", "elbo", "shapes"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_above_only(module):
    for imported in own(FILES[module]):
        assert layer(imported) <= layer(module), f"{module} imports {imported}"


def test_there_are_no_cycles():
    graph = {module: own(FILES[module]) for module in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(MODULES) - 2


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_in_its_place(library):
    users = {
        m.split(".")[0]
        for m, names in FILES.items()
        if any(n.split(".")[0] == library for n in names)
    }
    assert users
    assert users <= ONLY[library]


def test_networks_know_nothing_but_shapes():
    for module in MODULES:
        if module.startswith("nn."):
            assert all(m == "shapes" or m.startswith("nn.") for m in own(FILES[module])), module


def test_data_and_pictures_do_without_jax():
    for module in MODULES:
        if module.split(".")[0] in ("data", "files", "viz", "animation", "writer", "config"):
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
        assert not any(name.split(".")[0] in ("tensorflow", "clu") for name in FILES[module]), (
            module
        )
