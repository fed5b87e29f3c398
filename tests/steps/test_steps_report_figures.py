"""The images of the report, from a real evaluation: ranks, values, stages, what is missing."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.restoration import restore_image
from dgunet.network import load_network
from dgunet.paper.report_images import centre
from dgunet.steps.evaluate import evaluate_test_set
from dgunet.steps.report_figures import report_figures
from dgunet.steps.tables import checked_results


@pytest.fixture(scope="module")
def result(small, params, tmp_path_factory):
    """Folder, summary and rows of an evaluation of Rain100L that keeps images."""
    out = tmp_path_factory.mktemp("kept") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_HOME", str(small.home))
        patch.setenv("DGUNET_TRACKING", "off")
        assert params.evaluation.evaluate.keep_images > 0
        evaluate_test_set(
            params.evaluation,
            "Rain100L",
            models={None: small.model("derain-DGUNet") / "network.safetensors"},
            store=small.store("Rain100L"),
            out=out,
        )
    (found,) = checked_results([out])
    return found


def ordered(result):
    """The rows from the worst to the best."""
    return sorted(result[2], key=lambda row: row.psnr)


def test_the_best_median_and_worst_image_are_shown_with_their_scores(small, result):
    rows, (group, stages) = ordered(result), report_figures([result], small)
    assert (group.table, group.title, group.notes) == (1, "Rain100L, DGUNet", ())
    assert group.source == result[1].per_image_sha256
    wanted = {"best": rows[-1], "median": rows[(len(rows) - 1) // 2], "worst": rows[0]}
    assert {figure.title for figure in group.figures} == {
        f"{rank}: image {row.id}" for rank, row in wanted.items()
    }
    pairs = PairStore.open(small.store("Rain100L"))
    records = {pairs[i].id: pairs[i] for i in range(len(pairs))}
    for figure, row in zip(group.figures, wanted.values(), strict=True):
        assert dict(figure.values) == {
            "PSNR": f"{row.psnr:.2f} dB",
            "degraded PSNR": f"{row.input_psnr:.2f} dB",
            "SSIM": f"{row.ssim:.4f}",
        }
        with Image.open(result[0] / "restored" / f"{row.id}.png") as file:
            restored = np.asarray(file)
        images = (records[row.id].input, restored, records[row.id].target)
        assert [panel.name for panel in figure.panels] == ["degraded", "DGUNet", "true"]
        for panel, image in zip(figure.panels, images, strict=True):
            assert np.array_equal(panel.crop, centre(image, 256))
    assert stages.table == 1


def test_the_last_stage_is_the_restored_crop(small, result):
    stages = report_figures([result], small)[-1].figures[0]
    network, _ = load_network(small.model("derain-DGUNet") / "network.safetensors")
    names = ["degraded", *(f"stage {k}" for k in range(1, 8)), "true"]
    assert [panel.name for panel in stages.panels] == names
    rows = ordered(result)
    row = rows[(len(rows) - 1) // 2]
    pairs = PairStore.open(small.store("Rain100L"))
    record = next(pairs[i] for i in range(len(pairs)) if pairs[i].id == row.id)
    restored = restore_image(network, np.ascontiguousarray(centre(record.input, 128)))
    shown = np.rint(np.clip(restored, 0, 1) * 255)
    assert np.abs(stages.panels[7].crop - shown).max() <= 1
    assert not np.array_equal(stages.panels[1].crop, stages.panels[7].crop)
    assert np.array_equal(stages.panels[-1].crop, centre(record.target, 128))


def test_an_older_result_shows_what_it_has_and_names_the_rest(small, result, tmp_path):
    folder = shutil.copytree(result[0], tmp_path / "older")
    best, worst = ordered(result)[-1].id, ordered(result)[0].id
    (folder / "restored" / f"{best}.png").unlink()
    (group, _) = report_figures([(folder, *result[1:])], small)
    assert group.notes == (f"The best image, {best}, was not kept; a new evaluation keeps it.",)
    assert f"worst: image {worst}" in {figure.title for figure in group.figures}
    shutil.rmtree(folder / "restored")
    (group, _) = report_figures([(folder, *result[1:])], small)
    assert not group.figures and "evaluate.keep_images" in group.notes[0]


def test_missing_files_are_named(small, result):
    _, stages = report_figures([result], small.using("released"))
    weights = "build/models/released/derain-DGUNet/network.safetensors"
    reason = f"The estimates after each stage are not shown: {weights} is missing."
    assert stages.notes == (reason,)
    group, stages = report_figures([result], replace(small, work="elsewhere"))
    assert group.notes == ("elsewhere/prepared/Rain100L is missing, which has the true images.",)
    assert "elsewhere/prepared/Rain100L/manifest.json is missing" in stages.notes[0]


def test_other_images_or_weights_than_those_of_the_evaluation_are_not_shown(small, result):
    folder, summary, rows = result
    other = replace(summary, data_digest="0" * 64)
    for group in report_figures([(folder, other, rows)], small):
        assert not group.figures and "other images than were evaluated" in group.notes[0]
    other = replace(summary, checkpoint_sha256="0" * 64)
    (_, stages) = report_figures([(folder, other, rows)], small)
    assert not stages.figures and "other weights than were evaluated" in stages.notes[0]


def test_of_a_set_that_a_server_scores_the_first_kept_image_is_shown(small, result):
    folder, summary, rows = result
    unscored = [replace(row, psnr=None, ssim=None, input_psnr=None) for row in rows]
    group, _ = report_figures([(folder, summary, unscored)], small)
    (figure,) = group.figures
    assert (figure.title, figure.values) == (f"first: image {rows[0].id}", ())


def test_an_image_with_several_ranks_is_shown_once(small, result):
    folder, summary, rows = result
    equal = [replace(row, psnr=30.0) for row in rows]
    group, _ = report_figures([(folder, summary, equal)], small)
    name = "best and median and worst"
    assert [figure.title for figure in group.figures] == [f"{name}: image {rows[0].id}"]
