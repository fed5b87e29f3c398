"""Releases that share a name are told apart, and the wrong one is named."""

import shutil

import pytest

from dgunet.data.catalogue import CATALOGUE, dataset
from dgunet.data.doctor import check_dataset
from dgunet.data.layouts import read_pairs
from dgunet.data.releases import Seen, doubts, known_as
from dgunet.errors import DataError


def warnings(report):
    return [f.text for f in report.findings if f.level == "warning" and "published" not in f.text]


@pytest.mark.parametrize("name", ["GoPro", "GoPro-train"])
def test_blur_averaged_in_linear_light_is_told_from_the_benchmark_s(name, sample_root, tmp_path):
    half = "train" if name == "GoPro-train" else "test"
    source = sample_root / half / "GOPRO_Large" / half
    for release in ("blur", "blur_gamma"):
        for sequence in source.iterdir():
            for folder, copy in ((release, "input"), ("sharp", "target")):
                target = tmp_path / release / "GoPro" / half / copy
                target.mkdir(parents=True, exist_ok=True)
                for path in (sequence / folder).iterdir():
                    shutil.copyfile(path, target / f"{sequence.name}-{path.name}")
    assert warnings(check_dataset(name, tmp_path / "blur")) == []
    (text,) = warnings(check_dataset(name, tmp_path / "blur_gamma"))
    assert "grey levels brighter than their targets, the benchmark's +0.00" in text
    assert text.endswith("brighter inputs are blur_gamma. Bring blur.")


def test_the_benchmark_of_sidd_is_not_its_validation_set(sample_root, tmp_path):
    (tmp_path / "SIDD").mkdir()
    noisy = sample_root / "test/SIDD/ValidationNoisyBlocksSrgb.mat"
    shutil.copyfile(noisy, tmp_path / "SIDD/BenchmarkNoisyBlocksSrgb.mat")
    with pytest.raises(DataError, match=r"is SIDD's benchmark.* Bring ValidationNoisyBlocksSrgb"):
        read_pairs(dataset("SIDD"), tmp_path)


def test_copies_cut_to_another_size_are_named():
    info = CATALOGUE["BSD68"]
    whole = Seen(68, "0" * 64, {"481x321": 60, "321x481": 8})
    assert doubts(info, whole) == ["its pixels are not those of the known release"]
    cropped = Seen(68, "0" * 64, {"480x288": 60, "288x480": 8})
    assert doubts(info, cropped)[0] == (
        "another release: 68 pairs are not 481x321 or 321x481 (480x288, 288x480)"
    )
    assert doubts(info, Seen(3, "0" * 64, {"96x96": 3})) == [], "the sample is smaller"


def test_a_known_release_raises_no_doubt():
    info = CATALOGUE["Rain100H"]
    seen = Seen(100, info.known[0].digest, {"1x1": 100}, input_psnr=99.0)
    assert known_as(info, seen) == info.known[0].what
    assert doubts(info, seen) == []
    assert len(doubts(info, Seen(100, "0" * 64, {}, input_psnr=12.0))) == 2


@pytest.mark.benchmarks_data
def test_the_real_pairs_of_gopro_are_blur(benchmarks, tmp_path):
    source = benchmarks / "GoPro/official_samples"
    for half, kind in (("input", "blur"), ("target", "sharp")):
        (tmp_path / "GoPro" / half).mkdir(parents=True)
        for name in ("Istanbul", "Flower"):
            (tmp_path / "GoPro" / half / f"{name}.png").symlink_to(source / f"{name}_{kind}1.png")
    report = check_dataset("GoPro", tmp_path)
    assert warnings(report) == []
    assert report.input_lift == pytest.approx(0.005, abs=1e-3)
