"""Sources of videos that tests open."""

from stiid.data import registry


def load(name, split, data_dir, **options):
    return registry.load(name, split, data_dir=str(data_dir), **options)
