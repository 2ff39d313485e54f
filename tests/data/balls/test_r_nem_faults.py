"""R-NEM's files when they are missing, damaged or hostile: one error that names the place."""

import h5py
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from r_nem_files import by_hand, source

from stiid.data.balls.r_nem import RNemSource, RNemSpec


def test_missing_files_and_splits(simulated, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no R-NEM file at .*: download it, or write one"):
        source(tmp_path / "nowhere.h5")
    with pytest.raises(ValueError, match=r"has no group 'test', only \['training', 'validation'\]"):
        source(simulated, "test")
    with pytest.raises(ValueError, match="split must be one of"):
        source(simulated, "testing")
    with pytest.raises(IndexError):
        source(simulated)[5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": None}, "has no dataset 'features', only"),
        ({"groups": None}, "has no dataset 'groups'"),
        ({"images": (6, 0, 4, 4, 1)}, "has no clips"),
        ({"images": (6, 3, 4, 5, 1)}, r"expected 4x4 pixels .* got \(4, 5, 1\)"),
        ({"images": (6, 3, 4, 4, 3)}, "of one channel"),
        ({"groups": np.zeros((6, 2, 4, 4, 1))}, r"groups: expected shape \(6, 3, 4, 4, 1\), got"),
        ({"features": np.zeros((6, 3, 4, 4))}, "features: expected numbers with 5 axes"),
        ({"features": np.zeros((6, 3, 4, 4, 1), "S1")}, "features: expected numbers"),
        ({"velocities": np.zeros((6, 3, 4, 2))}, "have different numbers of balls"),
        ({"positions": np.zeros((6, 3, 2, 3))}, "positions: expected shape"),
        ({"groups": np.full((6, 3, 4, 4, 1), 0.5)}, "groups, clip 0: expected whole numbers"),
        ({"groups": np.full((6, 3, 4, 4, 1), np.nan)}, "groups, clip 0: expected whole numbers"),
        ({"groups": np.full((6, 3, 4, 4, 1), 256)}, "groups, clip 0: expected whole numbers"),
        (
            {"positions": np.full((6, 3, 2, 2), np.nan)},
            "positions, clip 0: has values that are not",
        ),
        ({"groups": np.full((6, 3, 4, 4, 1), -1)}, "groups, clip 0: expected whole numbers"),
    ],
)
def test_faults_are_named(tmp_path, changes, message):
    spec = by_hand(tmp_path / "a.h5", **changes)
    with pytest.raises(ValueError, match=message):
        RNemSource(spec, "train")[0]


def test_more_frames_or_colors_than_there_are(simulated):
    with pytest.raises(ValueError, match="has 12 frames, got frames=13"):
        source(simulated, frames=13)
    with pytest.raises(ValueError, match="colors must be one of"):
        source(simulated, colors="pink")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.h5"
    by_hand(path)
    return path


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(
    share=st.floats(0, 1),
    place=st.floats(0, 1),
    values=st.binary(max_size=24),
)
def test_damaged_bytes_end_in_one_error(small, tmp_path_factory, share, place, values):
    content = bytearray(small.read_bytes())
    start = int(place * (len(content) - len(values)))
    content[start : start + len(values)] = values
    path = tmp_path_factory.getbasetemp() / "damaged.h5"
    path.write_bytes(content[: int(share * len(content)) or 1] if share < 0.5 else content)
    try:
        ours = RNemSource(RNemSpec(path=str(path), frames=6, resolution=4), "train")
        read = [ours[i] for i in range(min(len(ours), 3))]
    except ValueError:
        return
    assert all(clip["video"].shape == (6, 4, 4, 1) for clip in read)


@hypothesis.settings(deadline=None, max_examples=80)
@hypothesis.given(
    name=st.sampled_from(["features", "groups", "positions", "velocities"]),
    shape=st.lists(st.integers(0, 4), max_size=6),
    dtype=st.sampled_from(["bool", "uint8", "int64", "float16", "float64", "complex64", "S3"]),
)
def test_any_dataset_is_read_or_refused(tmp_path_factory, name, shape, dtype):
    path = tmp_path_factory.getbasetemp() / "odd.h5"
    spec = by_hand(path, **{name: np.zeros(shape, dtype)})
    try:
        clip = RNemSource(spec, "train")[0]
    except ValueError as error:
        message = str(error)
    else:
        message = ""
        assert clip["video"].shape == (6, 4, 4, 1)
    regular = (6, 3, 4, 4, 1) if name in ("features", "groups") else (6, 3, 2, 2)
    fits = tuple(shape) == regular and dtype not in ("complex64", "S3")
    assert fits == (not message)


def test_links_to_other_files_are_not_followed(tmp_path):
    """Masks could show any file of the user."""
    other = by_hand(tmp_path / "other.h5")
    raw = tmp_path / "secret.txt"
    raw.write_bytes(bytes(6 * 3 * 4 * 4))
    layout = h5py.VirtualLayout((6, 3, 4, 4, 1), np.uint8)
    layout[:] = h5py.VirtualSource(other.path, "training/groups", (6, 3, 4, 4, 1))
    for kind in ("external", "soft", "virtual", "raw", "group"):
        spec = by_hand(tmp_path / f"{kind}.h5", groups=None)
        with h5py.File(spec.path, "a") as file:
            group = file["training"]
            match kind:
                case "external":
                    group["groups"] = h5py.ExternalLink(other.path, "training/groups")
                case "soft":
                    group["groups"] = h5py.SoftLink("/training/features")
                case "virtual":
                    group.create_virtual_dataset("groups", layout)
                case "raw":
                    parts = [(str(raw), 0, h5py.h5f.UNLIMITED)]
                    group.create_dataset("groups", (6, 3, 4, 4, 1), "u1", external=parts)
                case "group":
                    del file["training"]
                    file["training"] = h5py.ExternalLink(other.path, "training")
        with pytest.raises(ValueError, match=rf"{kind}\.h5.*(not followed|not opened)") as error:
            RNemSource(spec, "train")
        assert "fetch" not in str(error.value)


def test_sizes_that_would_fill_the_memory_are_refused(tmp_path):
    spec = by_hand(tmp_path / "a.h5", features=None)
    with h5py.File(spec.path, "a") as file:
        shape, chunks = (6, 3, 4, 4, 1), (2**16, 2**12, 4, 4, 1)
        file["training"].create_dataset(
            "features", shape, "u1", chunks=chunks, maxshape=(None,) * 5, compression="gzip"
        )
    with pytest.raises(ValueError, match="features: its chunks have 4294967296 bytes"):
        RNemSource(spec, "train")
    spec = by_hand(tmp_path / "b.h5", balls=256)
    with pytest.raises(ValueError, match="positions has 256 balls, expected at most 255"):
        RNemSource(spec, "train")
