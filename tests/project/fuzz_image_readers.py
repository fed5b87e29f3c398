"""Readers of images, datasets, archives and prepared stores, with valid files for each."""

import contextlib
import shutil
import tarfile
import zipfile

import numpy as np
from fuzz_target import Target
from PIL import Image


def scored(folder, sample):
    from dgunet.evaluation.protocols import protocol
    from dgunet.evaluation.scoring import score_results

    pixels = np.random.default_rng(0).integers(0, 256, (40, 41, 3), np.uint8)
    for name in ("restored", "target"):
        (folder / name).mkdir()
    np.save(folder / "restored/1.npy", (pixels / 255).astype(np.float32))
    for name in ("restored/2.png", "target/2.png", "target/1.png"):
        Image.fromarray(pixels).save(folder / name)

    def read(f):
        list(score_results(f / "restored", f / "target", protocol("gopro-rgb")))

    return Target(folder, ["restored/1.npy", "restored/2.png", "target/1.png"], read)


def scored_blocks(folder, sample):
    from dgunet.evaluation.protocols import protocol
    from dgunet.evaluation.scoring import score_results

    shutil.copytree(sample / "test/SIDD", folder, dirs_exist_ok=True)
    from scipy.io import loadmat, savemat

    noisy = loadmat(folder / "ValidationNoisyBlocksSrgb.mat")["ValidationNoisyBlocksSrgb"]
    savemat(folder / "Idenoised.mat", {"Idenoised": noisy})
    target = folder / "ValidationGtBlocksSrgb.mat"

    def read(f):
        list(score_results(f / "Idenoised.mat", f / target.name, protocol("sidd-blocks")))

    return Target(folder, ["Idenoised.mat", target.name], read)


def tree_of(name, keep=""):
    def make(folder, sample):
        from dgunet.data.catalogue.entries import dataset
        from dgunet.data.readers.folder_layouts import find_tree, read_pairs

        info = dataset(name)
        _, tree = find_tree(info, sample)
        shutil.copytree(tree, folder / tree.relative_to(sample), dirs_exist_ok=True)
        found = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith(keep))

        def read(f):
            for pair in read_pairs(info, f):
                for half in (pair.input, pair.target):
                    if half is not None:
                        half.load()

        return Target(folder, [str(p.relative_to(folder)) for p in found], read)

    return make


def images(folder, sample):
    from dgunet.data.readers.images import read_grey, read_rgb
    from dgunet.user_images.restoring import read_image

    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (24, 31, 3), np.uint8)
    image = Image.fromarray(colour)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in (
        *(("a.png", {}), ("b.jpg", {"exif": exif}), ("c.tif", {"compression": "tiff_lzw"})),
        *(("d.bmp", {}), ("e.webp", {"exif": exif}), ("f.gif", {}), ("g.ppm", {}), ("h.jp2", {})),
        *(("i.tif", {"exif": exif}), ("j.tga", {})),
    ):
        image.save(folder / name, **options)
    Image.fromarray(colour[..., 0].astype(np.uint16) * 257).save(folder / "k.png")
    image.convert("P").save(folder / "l.png")
    names = sorted(path.name for path in folder.iterdir())

    def read(f):
        from dgunet.system.errors import DgunetError

        errors = []
        for name in names:
            for reader in (read_rgb, read_grey, read_image):
                try:
                    reader(f / name)
                except DgunetError as error:  # the other readers still run
                    errors.append(error)

    return Target(folder, names, read)


def archives(folder, sample):
    from dgunet.data.acquisition.unpacking import unpack

    tree = sample / "test/RealBlur"
    members = sorted(p for p in tree.rglob("*") if p.is_file())[-2:]
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in members:
            packed.write(path, path.relative_to(sample))
    for name, mode in (("b.tar", "w"), ("c.tar.gz", "w:gz"), ("d.tar.xz", "w:xz")):
        with tarfile.open(folder / name, mode) as packed:
            for path in members:
                packed.add(path, path.relative_to(sample))

    def read(f):
        from dgunet.system.errors import DgunetError

        for name in ("a.zip", "b.tar", "c.tar.gz", "d.tar.xz"):
            out = f.parent / f"{f.name}-out"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            with contextlib.suppress(DgunetError):
                unpack(f / name, out)
            assert not any(p.is_symlink() for p in out.rglob("*"))

    return Target(folder, ["a.zip", "b.tar", "c.tar.gz", "d.tar.xz"], read)


def stored(layout):
    def make(folder, sample):
        from dgunet.data.store.pair_store import PairStore
        from dgunet.data.store.prepare import prepare_dataset

        out = folder / "store"
        prepare_dataset(
            "Rain100L", sample, out, profile="sample", layout=layout, workers=1, shard_bytes=1 << 16
        )

        def read(f):
            store = PairStore.open(f / "store")
            for record in store:
                assert record.input is not None
            store.verify()

        return Target(
            folder, [f"store/{p.name}" for p in sorted(out.iterdir()) if p.is_file()], read
        )

    return make
