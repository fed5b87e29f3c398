"""Stores made from arrays or from damaged samples."""

from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.writer import plan_shards, write_manifest, write_shard

DESCRIPTION = {
    "dataset": "Test100",
    "task": "derain",
    "role": "test",
    "profile": "sample",
    "published_count": 98,
    "complete": False,
    "protocol": "rain-y",
    "recipe": "whole",
}


def write_store(folder, pairs, shard_bytes=1 << 20, layout="raw"):
    """Write ``pairs`` to a store in ``folder``, as preparation does; gives the manifest."""
    folder.mkdir()
    sizes = [sum(a.nbytes for a in (p.input, p.target) if a is not None) for p in pairs]
    written = [
        write_shard(folder / f"pairs-{number:05d}.arrow", pairs[part.start : part.stop], layout)
        for number, part in enumerate(plan_shards(sizes, shard_bytes))
    ]
    return write_manifest(folder, written, **DESCRIPTION, layout=layout)


def prepare(name, root, tmp_path):
    """Prepare the sample of dataset ``name`` below ``root`` in ``tmp_path/store``."""
    return prepare_dataset(name, root, tmp_path / "store", profile="sample")


def file_contents(folder):
    """The bytes of every file of ``folder``, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def with_release(info, **changes):
    """The catalogue entry ``info`` with other facts about its published release."""
    releases = [r.model_copy(update=changes if r.published else {}) for r in info.releases]
    return info.model_copy(update={"releases": tuple(releases)})
