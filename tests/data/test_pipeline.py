import itertools

import grain
import numpy as np
import orbax.checkpoint as ocp
import pytest

from stiid.data import registry
from stiid.data.pipeline import eval_batches, train_iterator


class Numbered:
    """Clips whose pixels spell (clip, frame)."""

    fingerprint = "numbered"

    def __init__(self, count, frames=12):
        self.count, self.frames = count, frames

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        assert 0 <= index < self.count
        video = np.zeros((self.frames, 2, 2, 2), np.uint8)
        video[..., 0] = index
        video[..., 1] = np.arange(self.frames)[:, None, None]
        return {"video": video, "masks": video[..., 0] + 1, "id": f"{index}", "n_objects": 1}


OPTIONS = {"batch_size": 4, "num_frames": 3, "seed": 5}


def take(iterator, count):
    return np.stack([batch["video"] for batch in itertools.islice(iterator, count)])


def clips_of(videos):
    """Clip of every row, in the order of the stream."""
    return videos[..., 0, 0, 0, 0].reshape(-1)


def test_batches_hold_windows_of_the_first_frames():
    batch = next(train_iterator(Numbered(10), max_frames=7, **OPTIONS))
    assert batch.keys() == {"video"}
    assert (batch["video"].shape, batch["video"].dtype) == ((4, 3, 2, 2, 2), np.uint8)
    videos = take(train_iterator(Numbered(10), max_frames=7, **OPTIONS), 60)
    frames = videos[..., 0, 0, 1].reshape(-1, 3).astype(int)
    np.testing.assert_array_equal(np.diff(frames, axis=1), 1)
    # Starts 0..4 are equally likely: 240 windows, 48 each, sd 6.2.
    counts = np.bincount(frames[:, 0])
    assert len(counts) == 5
    assert (abs(counts - 48) < 25).all()
    clips = videos[..., 0].reshape(240, -1)
    np.testing.assert_array_equal(clips, clips[:, :1].repeat(12, 1))


def test_every_epoch_is_a_new_permutation():
    order = clips_of(take(train_iterator(Numbered(10), **OPTIONS), 15)).reshape(6, 10)
    np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(10), (6, 1)))
    assert len({tuple(epoch) for epoch in order.tolist()}) == 6


def test_windows_of_one_clip_differ_between_epochs():
    starts = take(train_iterator(Numbered(1), **OPTIONS), 10)[..., 0, 0, 0, 1]
    assert len(set(starts.reshape(-1).tolist())) > 3


def test_batch_larger_than_the_source():
    order = clips_of(take(train_iterator(Numbered(3), **OPTIONS), 3))
    np.testing.assert_array_equal(np.sort(order.reshape(4, 3)), np.tile(np.arange(3), (4, 1)))


@pytest.mark.parametrize("shard_count", [2, 4])
def test_processes_share_the_batches_of_one_process(shard_count):
    single = take(train_iterator(Numbered(10), **OPTIONS), 12)
    parts = [
        take(train_iterator(Numbered(10), shard_index=p, shard_count=shard_count, **OPTIONS), 12)
        for p in range(shard_count)
    ]
    for p, part in enumerate(parts):
        np.testing.assert_array_equal(part, single[:, p::shard_count])


def test_threads_and_prefetching_do_not_change_the_stream():
    expected = take(train_iterator(Numbered(10), num_threads=0, **OPTIONS), 12)
    for num_threads, prefetch in ((1, 1), (2, 2), (2, 7)):
        iterator = train_iterator(
            Numbered(10), num_threads=num_threads, prefetch=prefetch, **OPTIONS
        )
        np.testing.assert_array_equal(take(iterator, 12), expected)


def test_the_seed_decides():
    first, again = (take(train_iterator(Numbered(10), **OPTIONS), 5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = take(train_iterator(Numbered(10), **(OPTIONS | {"seed": 6})), 5)
    assert (first != other).any()


@pytest.mark.parametrize("num_threads", [0, 2])
def test_state_resumes_exactly(num_threads):
    def new():
        return train_iterator(Numbered(10), num_threads=num_threads, **OPTIONS)

    iterator = new()
    take(iterator, 7)
    state = iterator.get_state()
    expected = take(iterator, 6)
    resumed = new()
    next(resumed)  # a used iterator forgets where it was
    resumed.set_state(state)
    np.testing.assert_array_equal(take(resumed, 6), expected)
    np.testing.assert_array_equal(expected, take(new(), 13)[7:])


def test_state_resumes_through_orbax(tmp_path):
    iterator = train_iterator(Numbered(10), **OPTIONS)
    take(iterator, 5)
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(3, args=ocp.args.Composite(data=grain.checkpoint.CheckpointSave(iterator)))
        manager.wait_until_finished()
        expected = take(iterator, 4)
        resumed = train_iterator(Numbered(10), **OPTIONS)
        manager.restore(
            3, args=ocp.args.Composite(data=grain.checkpoint.CheckpointRestore(resumed))
        )
    np.testing.assert_array_equal(take(resumed, 4), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"shard_count": 3}, "multiple of shard_count"),
        ({"shard_count": 2, "shard_index": 2}, "shard_index"),
        ({"num_frames": 13}, "num_frames = 13"),
        ({"num_frames": 0}, "num_frames = 0"),
        ({"num_frames": 5, "max_frames": 4}, "num_frames = 5 does not fit the 4 frames"),
        ({"max_frames": 13}, "12 frames"),
        ({"seed": -1}, "seed"),
        ({"num_threads": -1}, "num_threads"),
        ({"num_threads": 3, "prefetch": 2}, "prefetch"),
    ],
)
def test_bad_training_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        train_iterator(Numbered(10), **(OPTIONS | options))


def test_empty_source():
    with pytest.raises(ValueError, match="no clips"):
        train_iterator(Numbered(0), **OPTIONS)
    with pytest.raises(ValueError, match="no clips"):
        eval_batches(Numbered(0), batch_size=2, num_frames=3)


def test_evaluation_in_order_with_padding():
    batches = list(eval_batches(Numbered(10), batch_size=4, num_frames=5))
    assert len(batches) == 3
    for batch in batches:
        assert batch.keys() == {"video", "masks", "labelled", "valid", "index"}
        assert batch["video"].shape == (4, 5, 2, 2, 2)
        assert batch["masks"].shape == (4, 5, 2, 2)
        # The first frames of the clip named by index, or the last clip.
        clip = np.where(batch["valid"], batch["index"], 9)
        np.testing.assert_array_equal(batch["video"][:, 0, 0, 0, 0], clip)
        np.testing.assert_array_equal(batch["masks"][:, 0, 0, 0], clip + 1)
        np.testing.assert_array_equal(batch["video"][0, :, 0, 0, 1], range(5))
    np.testing.assert_array_equal(
        np.concatenate([batch["index"] for batch in batches]), [*range(10), -1, -1]
    )
    np.testing.assert_array_equal(
        np.concatenate([batch["valid"] for batch in batches]), [True] * 10 + [False] * 2
    )


@pytest.mark.parametrize(("limit", "count"), [(None, 10), (4, 4), (5, 5), (99, 10)])
@pytest.mark.parametrize("shard_count", [1, 2, 4])
def test_processes_evaluate_every_clip_once(limit, count, shard_count):
    options = {"batch_size": 4, "num_frames": 2, "limit": limit, "shard_count": shard_count}
    parts = [list(eval_batches(Numbered(10), shard_index=p, **options)) for p in range(shard_count)]
    assert {len(part) for part in parts} == {-(-count // 4)}
    for batch in itertools.chain(*parts):
        assert batch["video"].shape[0] == batch["valid"].shape[0] == 4 // shard_count
    seen = np.concatenate([batch["index"][batch["valid"]] for batch in itertools.chain(*parts)])
    np.testing.assert_array_equal(np.sort(seen), np.arange(count))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 3, "shard_count": 2}, "batch_size"),
        ({"num_frames": 13}, "num_frames"),
        ({"num_frames": 0}, "num_frames"),
        ({"limit": 0}, "limit"),
    ],
)
def test_bad_evaluation_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        eval_batches(Numbered(10), **({"batch_size": 2, "num_frames": 3} | options))


def test_stored_clips_through_both_iterators(tmp_path):
    source = registry.load(
        "bouncing_balls",
        "train",
        data_dir=str(tmp_path),
        num_balls=2,
        resolution=16,
        frames=6,
        train=9,
        validation=0,
        test=0,
    )
    seen = set()
    for video in take(train_iterator(source, **OPTIONS), 9).reshape(-1, 3, 16, 16, 1):
        matches = [
            (clip, start)
            for clip in range(9)
            for start in range(4)
            if np.array_equal(source[clip]["video"][start : start + 3], video)
        ]
        assert len(matches) == 1
        seen.update(matches)
    assert {clip for clip, _ in seen} == set(range(9))
    for batch in eval_batches(source, batch_size=4, num_frames=6):
        for row in np.flatnonzero(batch["valid"]):
            clip = source[int(batch["index"][row])]
            np.testing.assert_array_equal(batch["video"][row], clip["video"])
            np.testing.assert_array_equal(batch["masks"][row], clip["masks"])


def test_pieces_lie_back_to_back():
    videos = take(train_iterator(Numbered(10), max_frames=11, pieces=True, **OPTIONS), 60)
    starts = videos[..., 0, 0, 0, 1].reshape(-1)
    counts = np.bincount(starts)  # 240 windows from frames 0, 3 and 6, 80 each, sd 7.3
    assert set(np.flatnonzero(counts)) == {0, 3, 6}
    assert (abs(counts[[0, 3, 6]] - 80) < 30).all()


class Marked(Numbered):
    """Masks that spell (clip, frame)."""

    def __getitem__(self, index):
        clip = super().__getitem__(index)
        return {**clip, "masks": 20 * clip["video"][..., 0] + clip["video"][..., 1]}


def test_objects_are_those_of_the_first_frame_of_a_window():
    batch = next(train_iterator(Marked(10), objects=True, **OPTIONS))
    first = batch["video"][:, 0]
    np.testing.assert_array_equal(batch["objects"], 20 * first[..., 0] + first[..., 1])
    assert batch["objects"].max() > 20


def test_objects_that_nobody_knows_are_refused():
    class Unknown(Numbered):
        def __getitem__(self, index):
            return {**super().__getitem__(index), "n_objects": -1}

    with pytest.raises(ValueError, match="clip '0' has no true masks: use data with masks"):
        train_iterator(Unknown(10), objects=True, **OPTIONS)
