"""The compact layout: pixels, crops and digest of the raw layout in fewer bytes."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from data_stores import write_store
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dgunet.data.batches.training_batches import TrainingBatches
from dgunet.data.sample.photographs import photographs
from dgunet.data.store import tiles
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.records import LoadedPair, SourceFile
from dgunet.data.store.tiles import SIDE, TiledPixels, encode
from dgunet.system.errors import DataError


def tiled(image):
    return TiledPixels(encode(image), image.shape, image.dtype, "it")


@pytest.fixture(scope="module")
def image():
    """A random image of more than two tiles by one."""
    return np.random.default_rng(0).integers(0, 256, (2 * SIDE + 9, SIDE + 31, 3), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (SIDE, SIDE), (SIDE + 1, SIDE - 1), (7, 2 * SIDE + 3)])
def test_any_image_is_decoded_bit_for_bit(dtype, channels, size):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, channels)) / (
        1 if dtype == np.uint8 else 255
    )
    pixels = pixels.astype(dtype)
    whole = tiled(pixels).whole()
    assert whole.dtype == dtype
    assert whole.tobytes() == pixels.tobytes()


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_decoded_crop_equals_the_crop_of_the_image(image, data):
    kept = tiled(image)
    rows, columns = (
        slice(*sorted(data.draw(st.lists(st.integers(0, size + 40), min_size=2, max_size=2))))
        for size in image.shape[:2]
    )
    np.testing.assert_array_equal(kept[rows, columns], image[rows, columns])


def test_a_crop_decodes_only_the_tiles_it_touches(image, monkeypatch):
    seen = []
    decode = tiles.decode_tile
    monkeypatch.setattr(tiles, "decode_tile", lambda *a: seen.append(a[3:]) or decode(*a))
    kept = tiled(image)
    kept[10:20, 30:50]
    assert seen == [(20, 50)], "only the needed part of one tile is decoded"
    seen.clear()
    kept[SIDE - 1 : SIDE + 1, SIDE - 1 : SIDE + 1]
    assert len(seen) == 4


def test_the_encoding_does_not_depend_on_the_memory_layout(image):
    assert encode(image) == encode(np.asfortranarray(image)) == encode(image.copy()[::1])


@pytest.fixture
def pairs():
    rng = np.random.default_rng(2)
    clean = photographs("coffee")[0].pixels()[: SIDE + 40, : SIDE + 20]
    clean = np.rint(clean * 255).astype(np.uint8)
    noisy = np.clip(clean + rng.normal(0, 9, clean.shape), 0, 255).astype(np.uint8)
    source = SourceFile("input/1.png", "0" * 64)
    return [LoadedPair("1", noisy, clean, source), LoadedPair("2", noisy[:50], clean[:50])]


def png_bytes(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.tell()


def test_the_compact_store_holds_the_same_records_in_fewer_bytes(pairs, tmp_path):
    raw = write_store(tmp_path / "raw", pairs)
    compact = write_store(tmp_path / "compact", pairs, layout="compact")
    assert compact.digest == raw.digest
    assert (raw.layout, compact.layout) == ("raw", "compact")
    as_png = sum(png_bytes(image) for pair in pairs for image in (pair.input, pair.target))
    assert compact.shards[0].bytes < 1.05 * as_png < raw.shards[0].bytes
    assert "layout" not in json.loads((tmp_path / "raw/manifest.json").read_text())
    store = PairStore.open(tmp_path / "compact")
    store.verify()
    for record, pair in zip(store, pairs, strict=True):
        assert record.shape == pair.target.shape
        assert record.input_source == pair.input_source
        np.testing.assert_array_equal(record.input, pair.input)
        np.testing.assert_array_equal(record.target, pair.target)
        with pytest.raises(ValueError, match="read-only"):
            record.target[0, 0, 0] = 1


def test_real_images_need_less_space_than_as_png(benchmarks):
    images = [
        np.asarray(Image.open(path).convert("RGB"))
        for path in sorted((benchmarks / "GoPro/official_samples").glob("*.png"))
    ]
    assert len(images) == 4
    compact = sum(len(tile) for image in images for tile in encode(image))
    assert compact < 0.9 * sum(map(png_bytes, images))


def test_the_number_of_workers_does_not_change_the_compact_bytes(sample_root, prepared, tmp_path):
    contents = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        manifest = prepare_dataset(
            "RealBlur-J",
            sample_root,
            out,
            profile="sample",
            layout="compact",
            workers=workers,
            shard_bytes=1,
        )
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(manifest.shards) > 1
    assert contents[0] == contents[1]
    assert manifest.digest == PairStore.open(prepared("RealBlur-J")).manifest.digest


def test_both_layouts_give_the_same_training_batches(pairs, tmp_path):
    for layout in ("raw", "compact"):
        write_store(tmp_path / layout, pairs, layout=layout)
    raw, compact = (
        TrainingBatches(PairStore.open(tmp_path / layout), patch=64, batch=4, seed=1)
        for layout in ("raw", "compact")
    )
    for step in range(3):
        assert all(map(torch.equal, raw(step), compact(step)))


def test_missing_inputs_stay_missing(pairs, tmp_path):
    write_store(tmp_path / "s", [LoadedPair("1", None, pairs[0].target)], layout="compact")
    record = PairStore.open(tmp_path / "s")[0]
    assert record.input is None
    assert record.crop(0, 0, 8, 8).input is None


@pytest.mark.parametrize("damage", [lambda tile: tile[:60], lambda tile: b"\0" * len(tile)])
def test_a_damaged_tile_is_reported(image, damage):
    kept = encode(image)
    kept[0] = damage(kept[0])
    damaged = TiledPixels(
        [pa.py_buffer(tile) for tile in kept], image.shape, image.dtype, "photo 7"
    )
    with pytest.raises(DataError, match=r"photo 7 is damaged.*--layout compact"):
        damaged.whole()
    np.testing.assert_array_equal(damaged[:5, SIDE:], image[:5, SIDE:])
