"""Facts that are recorded with a run's results."""

import importlib.metadata
from types import SimpleNamespace

import jax
import tiny

from stiid.cli.results import run_card

SOURCE = SimpleNamespace(fingerprint="balls:train")


def test_a_checkout_that_is_not_installed_has_no_version(data_dir, monkeypatch):
    version = importlib.metadata.version

    def found(name):
        if name == "stiid":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", found)
    versions = run_card(tiny.experiment(data_dir), SOURCE)["versions"]
    assert versions["stiid"] == "not installed"
    assert versions["jax"] == jax.__version__


def test_the_precision_of_products_is_noted(data_dir):
    experiment = tiny.experiment(data_dir)
    assert run_card(experiment, SOURCE)["matmul_precision"] == "default"
    with jax.default_matmul_precision("highest"):
        assert run_card(experiment, SOURCE)["matmul_precision"] == "highest"
