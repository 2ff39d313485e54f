"""Messages of other libraries become one readable line."""

import pytest

from stiid.errors import first_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("first\nsecond", "first"),
        (
            "Error decoding manifest [tensorstore_spec='{\\\"driver\\\"…}']: more",
            "Error decoding manifest",
        ),
        ("a" * 10_000, "a" * 499 + "…"),
    ],
)
def test_one_line_of_bounded_length(text, line):
    assert first_line(ValueError(text)) == line


def test_an_error_without_words_says_its_kind():
    assert first_line(KeyError()) == "KeyError()"
