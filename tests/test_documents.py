"""Links, configs and results in the documents exist."""

import re
from pathlib import Path

import pytest
import tiny

DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "configs/README.md",
    "experiments/README.md",
    "experiments/benchmarks/README.md",
    "experiments/lab_notes.md",
    "stiid/README.md",
    "stiid/data/README.md",
)


def links(document: Path) -> list[str]:
    """Targets of links and images that are not on the network."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [to for to in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in to]


def anchors(document: Path) -> set[str]:
    """Of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    document = tiny.ROOT / name
    assert links(document) or name == "CHANGELOG.md"
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_configs_and_results_that_are_named_exist(name):
    text = (tiny.ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:configs/\w+\.py|experiments/results/[\w/]+-?\w*\.\w+)", text))
    missing = [path for path in named if not (tiny.ROOT / path).exists()]
    assert missing == ["configs/NAME.py"] * ("--config=configs/NAME.py" in text)
