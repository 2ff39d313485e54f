"""Names of the files that clips are cut from."""

from stiid.data.clip_files import clip_files, files_text

CLIPS = [{"file": name, "first_frame": 10 * i} for i, name in enumerate("aabacdefg")]


def test_the_first_clips_name_their_files():
    assert clip_files(CLIPS, 4) == {"a": [0, 10, 30], "b": [20]}
    assert clip_files([{"video": None}], 1) == {}  # simulated


def test_of_many_files_the_first_are_named():
    assert files_text(clip_files(CLIPS, 4)) == "4 clip(s) of a, b"
    assert files_text(clip_files(CLIPS, 9)) == "9 clip(s) of a, b, c, d, e, and 2 more"
