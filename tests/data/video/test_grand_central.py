"""Grand Central: its clips and its tracks. Oracle: the file's own frames."""

import numpy as np
import pytest
import scipy.io
import tiny
from video_sources import load

from stiid.data.video.tracklets import Tracklets
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View

CROP = (8, 4, 16, 16)


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """A video of 32×24 pixels and 60 frames, with tracks."""
    folder = tmp_path_factory.mktemp("station")
    tiny.write_video(folder / "station.avi", frames=60)
    times = np.arange(10, 40)
    write_tracks(
        folder / "tracks.mat",
        [
            (9.0 + 0.2 * (times - 10), np.full(30, 6.0), times),
            (np.full(3, 10.5), np.full(3, 5.5), np.array([0, 1, 2])),  # frame 0 and 2 are shown
            (np.full(3, 1.0), np.full(3, 1.0), np.array([0, 1, 2])),  # outside of the crop
        ],
    )
    return folder


def write_tracks(path, tracks, fields="xyt"):
    trks = np.zeros((1, len(tracks)), [(name, object) for name in fields])
    for i, track in enumerate(tracks):
        for name, values in zip(fields, track, strict=True):
            trks[0, i][name] = np.asarray(values)[:, None]
    scipy.io.savemat(path, {"trks": trks})


def grand_central(folder, split="train", **options):
    """All clips of a split."""
    given = {
        "path": str(folder / "station.avi"),
        "tracklets": str(folder / "tracks.mat"),
        "crop": CROP,
        "resolution": 8,
        "stride": 2,
        "frames": 5,
        "gap": 3,
        "train": 0.5,
        "validation": 0.25,
        "test": 0.25,
    }
    source = load("grand_central", split, folder / "data", **{**given, **options})
    return [source[i] for i in range(len(source))]


def test_grand_central_is_split_by_time_with_gaps(station):
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}  # 27, 13 (or 14), 14 of 54 frames
    sources = {split: grand_central(station, split, **shares) for split in shares}
    starts = {split: [clip["first_frame"] for clip in s] for split, s in sources.items()}
    assert starts == {"train": [0, 10], "validation": [30], "test": [46]}
    view = View(height=8, width=8, channels=3, crop=CROP)
    for source in sources.values():
        for clip in source:
            frames = VideoFile(station / "station.avi").frames(
                clip["first_frame"], clip["first_frame"] + 9, 2
            )
            np.testing.assert_array_equal(clip["video"], [view.frame(frame) for frame in frames])
            assert (clip["n_objects"], clip["file"]) == (-1, "station.avi")


def test_tracks_are_in_pixels_of_the_clip(station):
    """Crop at (8, 4), 2 pixels of the file per pixel: (x - 8) / 2, (y - 4) / 2."""
    train = grand_central(station)
    first, second = train[0]["tracks"], train[1]["tracks"]
    assert (first.dtype, first.shape, second.shape) == (np.float32, (1, 5, 2), (1, 5, 2))
    expected = np.full((5, 2), np.nan)
    expected[:2] = 1.25, 0.75
    np.testing.assert_array_equal(first[0], expected)
    times = 10 + 2 * np.arange(5)
    np.testing.assert_allclose(second[0, :, 0], (1 + 0.2 * (times - 10)) / 2, atol=1e-6)
    np.testing.assert_allclose(second[0, :, 1], 1.0)


def test_without_tracklets_there_are_no_tracks(station):
    assert "tracks" not in grand_central(station, tracklets="")[0]
    with pytest.raises(FileNotFoundError, match=r"no tracklets at .*no\.mat: check the path"):
        grand_central(station, tracklets=str(station / "no.mat"))


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ([([1, 2], [1, 2], [3])], "track 0 have lengths 2, 2 and 1"),
        ([([1], [1], [0]), ([1, np.nan], [1, 2], [3, 4])], "track 1 has values that are not fin"),
        ([([1, 2], [1, 2], [4, 4])], "the frames of track 0 do not increase"),
        ([([1, 2], [1, 2], [4, 3])], "the frames of track 0 do not increase"),
        ([([1, 2], [1, 2], [3, 4.5])], "the frames of track 0 do not increase"),
        ([([], [], [])], "has no tracks"),
    ],
)
def test_damaged_tracklets(tmp_path, tracks, message):
    write_tracks(tmp_path / "t.mat", tracks)
    with pytest.raises(ValueError, match=message):
        Tracklets.load(tmp_path / "t.mat")


def test_files_that_are_no_tracklets(tmp_path):
    path = tmp_path / "t.mat"
    path.write_bytes(b"MATLAB 5.0 but not quite")
    with pytest.raises(ValueError, match="cannot be read as a MATLAB file"):
        Tracklets.load(path)
    scipy.io.savemat(path, {"other": np.zeros(3)})
    with pytest.raises(ValueError, match="expected a struct array 'trks'"):
        Tracklets.load(path)
    write_tracks(path, [([1.0], [2.0])], fields="xy")
    with pytest.raises(ValueError, match="with the fields x, y and t"):
        Tracklets.load(path)
