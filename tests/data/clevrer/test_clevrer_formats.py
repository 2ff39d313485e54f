"""Annotations of CLEVRER, as published and broken in every way."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import official
import pytest
from clevrer_files import PROPOSALS, QUICK, frames, reason

from stiid.data.clevrer.annotations import parse_annotation
from stiid.data.clevrer.proposals import parse_proposals

ANNOTATION = json.dumps(official.annotation(official.SIX, 12))


def test_an_annotation_is_read():
    annotation = parse_annotation(ANNOTATION.encode(), "a")
    assert annotation.names[3] == ("green", "rubber", "cube")
    assert [shape for _, _, shape in annotation.names] == [shape for shape, _, _ in official.SIX]
    assert annotation.locations.shape == (128, 6, 3)
    np.testing.assert_allclose(annotation.locations[35, 0], (0.2, -1.0, 0.2))
    np.testing.assert_allclose(annotation.velocities[:, 1], [(0.0, 0.1, 0.0)] * 128)
    np.testing.assert_allclose(annotation.orientations[50], [(0.0, 0.0, 1.0)] * 6)


def test_objects_go_by_their_id():
    """Listed in any order, with ids of any value, in the properties and in every frame."""
    content = json.loads(ANNOTATION)
    content["object_property"].reverse()
    for frame in frames(content)[::2]:
        frame["objects"].reverse()
    for item in (content, *frames(content)):
        for entry in item.get("objects", item.get("object_property", [])):
            entry["object_id"] = 3 * entry["object_id"] + 1
    ours = parse_annotation(json.dumps(content).encode(), "a")
    truth = parse_annotation(ANNOTATION.encode(), "a")
    assert ours.names == truth.names
    np.testing.assert_array_equal(ours.locations, truth.locations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("motion_trajectory"), "a has no key 'motion_trajectory'"),
        (lambda c: c.pop("object_property"), "a has no key 'object_property'"),
        (lambda c: c["object_property"].clear(), "has 0 objects"),
        (lambda c: c["object_property"][1].pop("shape"), "object_property 1 has no key 'shape'"),
        (lambda c: c["object_property"][1].update(color="pink"), "color is 'pink', expected one"),
        (lambda c: c["object_property"][1].update(object_id=0), "two objects have object_id 0"),
        (lambda c: c["object_property"][1].update(object_id=True), "object_id is True, expected"),
        (
            lambda c: c["object_property"][2].update(official.name(0)),
            "two objects have the same color, material and shape",
        ),
        (lambda c: frames(c).pop(), "has 127 frames, expected 128"),
        (lambda c: frames(c)[7].update(frame_id=6), "motion_trajectory 7: frame_id is 6"),
        (lambda c: frames(c)[7].pop("frame_id"), "motion_trajectory 7 has no key 'frame_id'"),
        (lambda c: frames(c)[7]["objects"].pop(), r"has the objects \[0, 1, 2, 3, 4\], expected"),
        (lambda c: frames(c)[7]["objects"][1].update(object_id=0), "object 0 occurs twice"),
        (lambda c: frames(c)[7]["objects"].append(3), "is a int, expected a JSON object"),
        (
            lambda c: frames(c)[7]["objects"][1].pop("location"),
            "motion_trajectory 7, object 1 has no key 'location'",
        ),
        (
            lambda c: frames(c)[7]["objects"][1].update(location=[0.0, float("nan"), 0.2]),
            "location is .*NaN.*, expected three finite numbers",
        ),
        (
            lambda c: frames(c)[7]["objects"][1].update(location=[0.0, 1e400, 0.2]),
            "location is .*, expected three finite numbers",
        ),
        (lambda c: frames(c)[7]["objects"][1].update(velocity=[0, 10**400, 0]), "three finite"),
        (lambda c: frames(c)[7]["objects"][1].update(orientation=[0, 0, 0, 1]), "three finite"),
        (lambda c: frames(c)[7]["objects"][1].update(location=["0", 0, 0]), "three finite"),
    ],
)
def test_broken_annotations(change, message):
    content = json.loads(ANNOTATION)
    change(content)
    with pytest.raises(ValueError, match=message):
        parse_annotation(json.dumps(content).encode(), "a")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1]", b"null", b"\xff\xfe{}", b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}"],
)
def test_what_is_no_json_object(text):
    with pytest.raises(ValueError, match=r"^a "):
        parse_annotation(text, "a")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def places(item):
    """All (container, key) of a JSON value."""
    keys = item if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
    for key in keys:
        yield item, key
        yield from places(item[key])


def read_annotation(text):
    read = parse_annotation(text, "a")
    for array in (read.locations, read.orientations, read.velocities):
        assert array.shape == (128, len(read.names), 3)
        assert np.isfinite(array).all()


def read_proposals(text):
    read = parse_proposals(text, "a")
    assert {read.ids(t, [("gray", "metal", "sphere")]).max() for t in range(2)} <= {0, 1}


READERS = {"annotation": (read_annotation, ANNOTATION), "proposals": (read_proposals, PROPOSALS)}


@pytest.mark.parametrize("kind", READERS)
@QUICK
@hypothesis.given(where=st.floats(0, 0.999), value=JSON, drop=st.booleans())
def test_any_change_is_refused_or_harmless(kind, where, value, drop):
    """A value in the head of a file or in its first two frames is replaced or removed."""
    read, text = READERS[kind]
    content = json.loads(text)
    long = frames(content)
    head = long[:2]
    found = [*places(head), *((content, key) for key in content)]
    found += places(content.get("object_property", []))
    container, key = found[int(where * len(found))]
    if container is head:
        container = long
    if drop:
        del container[key]
    else:
        container[key] = value
    told = reason(read, json.dumps(content).encode())
    assert told.startswith(("a ", "a,", "a:")) or not told


def test_without_a_change_nothing_is_refused():
    for read, text in READERS.values():
        read(text.encode())
