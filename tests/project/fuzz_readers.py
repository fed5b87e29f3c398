"""All readers of the project, with valid files for each.

A target is a folder of valid files and a function that reads it. A file that a target names is
damaged and read, and put back.
"""

import contextlib
import importlib
import json
import shutil
import tarfile
import zipfile
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]


@dataclass
class Target:
    """Files in ``folder`` that are damaged one at a time, and their reader."""

    folder: Path
    files: list[str]
    read: object
    allowed: tuple[type[Exception], ...] = ()
    """Documented exceptions other than `DgunetError`, which callers of the reader handle."""
    text: bool = False
    """Whether the files are JSON or JSON lines; otherwise their suffix says so."""


def moved(name, *modules):
    """``name`` of the first of ``modules`` that has it."""
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"{name} is in none of {modules}")


def params(folder, sample):
    from dgunet.config import load_params

    shutil.copy(ROOT / "params.yaml", folder)
    return Target(folder, ["params.yaml"], lambda f: load_params(f / "params.yaml"))


def cluster(folder, sample):
    from dgunet.kubeflow.cluster.settings import load_cluster

    shutil.copy(ROOT / "pipelines/cluster.yaml", folder)
    return Target(folder, ["cluster.yaml"], lambda f: load_cluster(f / "cluster.yaml"))


def records_of_pipelines(folder, sample):
    from dgunet.kubeflow import run_records

    record = run_records.Record("local-1", "small", "subprocess", "/x", 1.0, 7, "FAILED", 2.0, "no")
    run_records.save(folder, record)
    log = run_records.folder(folder, "local-1") / "log.txt"
    log.write_text("12:00:00.1 - INFO - Task 'work' finished with status SUCCESS\n")

    def read(f):
        assert run_records.last(f, 3)
        run_records.status_text(f, "local-1")

    return Target(
        folder, [str(p.relative_to(folder)) for p in (log, log.with_name("run.json"))], read
    )


def weights(folder, sample):
    from dgunet.network import load_network, save_network

    save_network(_tiny(), folder / "n.safetensors", {"a": "b"})
    return Target(folder, ["n.safetensors"], lambda f: load_network(f / "n.safetensors"))


def authors_weights(folder, sample):
    from dgunet.network import DGUNet, preset
    from dgunet.network.official import export_official, import_official

    torch.manual_seed(0)
    widths = {"n_feat": 4, "scale": 2, "last_width": 2, "gradient_width": 2}
    network = DGUNet(preset("derain", "DGUNet", **widths))
    export_official(network, folder / "n.pth")

    def read(f):
        return import_official(f / "n.pth", config=network.config)

    return Target(folder, ["n.pth"], read)


def training_checkpoint(folder, sample):
    from dgunet.training.checkpoints import Checkpoints

    made = Checkpoints(folder, {"seed": "1"}, seconds=0)
    for step in (1, 2):
        made.save({"step": step, "weights": {"a": torch.zeros(9)}})
    made.wait()

    def read(f):
        return Checkpoints(f, {"seed": "1"}, seconds=0).newest()

    return Target(folder, ["step-000000002.ckpt"], read)


def checkpoint_hashed_again(folder, sample):
    """Checkpoints with a changed content whose hash is correct."""
    from dgunet.system.files import sha256_bytes
    from dgunet.training.checkpoints import MAGIC, Checkpoints

    target = training_checkpoint(folder, sample)
    path = folder / target.files[0]
    (folder / "payload").write_bytes(path.read_bytes().partition(b"\n")[2])

    def read(f):
        payload = (f / "payload").read_bytes()
        path.write_bytes(MAGIC + sha256_bytes(payload).encode() + b"\n" + payload)
        Checkpoints(f, {"seed": "1"}, seconds=0).newest()

    return Target(folder, ["payload"], read)


def measurements(folder, sample):
    from network_tiny import tiny

    from dgunet.tools.compressive_sensing import read_measurements

    network = tiny("cs")
    np.save(folder / "y.npy", np.zeros((network.config.measurements, 2, 3), np.float32))
    return Target(folder, ["y.npy"], lambda f: read_measurements(f / "y.npy", network))


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
        _, place = find_tree(info, sample)
        shutil.copytree(place, folder / place.relative_to(sample), dirs_exist_ok=True)
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
                except DgunetError as error:  # each reader is asked
                    errors.append(error)

    return Target(folder, names, read)


def archives(folder, sample):
    from dgunet.data.acquisition.unpacking import unpack

    place = sample / "test/RealBlur"
    some = sorted(p for p in place.rglob("*") if p.is_file())[-2:]
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in some:
            packed.write(path, path.relative_to(sample))
    for name, mode in (("b.tar", "w"), ("c.tar.gz", "w:gz"), ("d.tar.xz", "w:xz")):
        with tarfile.open(folder / name, mode) as packed:
            for path in some:
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


def results(folder, sample):
    from dgunet.data.store.pair_store import PairStore
    from dgunet.data.store.prepare import prepare_dataset
    from dgunet.evaluation.folder_turns import alone
    from dgunet.evaluation.image_steps import Settings
    from dgunet.evaluation.protocols import protocol
    from dgunet.evaluation.restoration import identity
    from dgunet.evaluation.runner import merge_rows, score_shard
    from dgunet.paper.table_building import build_tables
    from dgunet.steps.tables import read_results

    prepare_dataset("Rain100L", sample, folder / "store", profile="sample", workers=1)
    store = PairStore.open(folder / "store")
    rules, out = protocol("rain-y"), folder / "results"
    settings = Settings(row="DGUNet", checkpoint_sha256="0" * 64)
    with alone(out):
        score_shard(identity, store, rules, out, settings)
        merge_rows(store, rules, out, settings)

    def read(f):
        build_tables(read_results([f / "results"]), profile="sample")

    return Target(folder, ["results/summary.json", "results/per_image.parquet"], read)


def cells(folder, sample):
    from dgunet.paper.formats import write_tables
    from dgunet.paper.table_building import build_tables

    read_cells = moved("read_cells", "dgunet.paper.written_tables", "dgunet.paper.formats")
    write_tables(build_tables([], profile="sample"), folder)
    return Target(folder, ["cells.parquet"], lambda f: read_cells(f / "cells.parquet"))


def rows(folder, sample):
    from dgunet.evaluation.rows import Row, Timing

    journal = moved("RowJournal", "dgunet.evaluation.row_journal", "dgunet.evaluation.rows")
    own = journal(folder, "key", "0-of-1")
    with own.appending() as handle:
        for index in range(3):
            row = Row(str(index), 30.0, 0.9, 20.0, 0.8, "rain-y", 1, 40, 41, "0" * 64)
            own.append(handle, (index, row, Timing(str(index), 0.1, 0.2, 0.3)))

    def read(f):
        for index, row, timing in journal(f, "key", "0-of-1").entries().values():
            assert (type(index), row.id, timing.id) == (int, str(row.id), str(timing.id))

    return Target(folder, ["0-of-1.jsonl"], read, text=True)


def journals(folder, sample):
    from dgunet.tracking import TrackingFolders, pending, start_run

    with start_run(
        "e", "n", tags={"profile": "sample", "stage": "x"}, params={"a": 1}, home=folder
    ) as run:
        run.log_metrics({"psnr": 3.0}, 1)
    layout = TrackingFolders.at(folder)
    (journal,) = (path for path in layout.journals.iterdir() if path.is_dir())
    (journal / "cursor.json").write_text("{}")
    found = [p for p in journal.iterdir() if p.is_file()]

    def read(f):
        for info in pending(TrackingFolders.at(f)):
            info.facts()

    return Target(folder, [str(p.relative_to(folder)) for p in found], read, text=True)


def index_of_runs(folder, sample):
    from dgunet.tracking import RunInfo, TrackingFolders, delivered, lookup
    from dgunet.tracking.index import add_delivered_run

    layout = TrackingFolders.at(folder)
    texts = [f.name for f in fields(RunInfo) if f.default_factory is MISSING]
    for number in range(3):
        add_delivered_run(
            layout, RunInfo(**{name: str(number) for name in texts} | {"dirty": None})
        )

    def read(f):
        for info in delivered(TrackingFolders.at(f)):
            info.facts()
        lookup("0" * 64, f)

    return Target(folder, [str(layout.index.relative_to(folder))], read, text=True)


def server_scores(folder, sample):
    from dgunet.kubeflow.steps.dnd_records import read_records
    from dgunet.steps.tables import with_server_scores
    from dgunet.system.files import sha256_file

    evidence = folder / "dnd-1.evidence.eml"
    evidence.write_text("as mailed")
    digests = ("checkpoint_sha256", "data_digest", "per_image_sha256", "bundle_sha256")
    score = dict.fromkeys(digests, "0" * 64) | {
        "row": "DGUNet",
        "variant": "DGUNet",
        "psnr": 40.0,
        "ssim": 0.9,
        "evidence": evidence.name,
        "evidence_sha256": sha256_file(evidence),
    }
    (folder / "dnd-1.json").write_text(json.dumps(score))

    def read(f):
        read_records(f)
        with_server_scores([{**score, "dataset": "DND", "psnr": None}], f)

    return Target(folder, ["dnd-1.json"], read)


def _tiny():
    from network_tiny import tiny

    return tiny()


TARGETS = {
    "params.yaml": params,
    "cluster.yaml": cluster,
    "records of pipelines": records_of_pipelines,
    "weights": weights,
    "the authors' weights": authors_weights,
    "training checkpoints": training_checkpoint,
    "training checkpoints, hashed again": checkpoint_hashed_again,
    "measurements": measurements,
    "scored folders": scored,
    "scored blocks of SIDD": scored_blocks,
    "list of RealBlur": tree_of("RealBlur-J", "list.txt"),
    "images of a dataset": tree_of("Rain100L", "1.png"),
    "blocks of SIDD": tree_of("SIDD"),
    "DND": tree_of("DND"),
    "images": images,
    "archives": archives,
    "raw store": stored("raw"),
    "compact store": stored("compact"),
    "results": results,
    "cells of tables": cells,
    "rows of a killed evaluation": rows,
    "journals": journals,
    "index of runs": index_of_runs,
    "scores of DND's server": server_scores,
}
