"""Whole campaigns as processes: from an empty project to cells, killed, short of sets, refused."""

import signal

import pytest
import stand_in
from campaign_project import DRIVE, pairs_archive, plain_place
from data_internet import QUOTA

from dgunet.campaign.ledger import Ledger
from dgunet.data.catalogue.overlaps import read_overlaps
from dgunet.network import DGUNet, preset, save_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("campaign")]

TEST100 = ("--rows", "DGUNet", "--column", "Test100", "--accept-licence")


TRAINED = ("--weights", "trained", "--profile", "sample", "--column", "Rain100L")
TRAINED += ("--rows", "DGUNet")


@pytest.fixture
def sample(empty, sample_root):
    """The project with the sample data, and a training of 24 steps."""
    params = empty.home / "params.yaml"
    params.write_text(params.read_text().replace("iterations: 60\n", "iterations: 24\n", 1))
    (empty.home / "data").mkdir()
    (empty.home / "data" / "sample").symlink_to(sample_root)
    return empty


@pytest.fixture(scope="session")
def derain(tmp_path_factory):
    """The authors' archive with a DGUNet for deraining, of random weights."""
    return stand_in.rgb_archive(tmp_path_factory.mktemp("weights"), ("derain", "DGUNet"))


def test_98_pairs_of_test100_are_complete_killed_and_resumed(empty, net, derain):
    net.drive |= {DRIVE: pairs_archive("Test100", 98), stand_in.RGB: derain}
    first = empty.start(*TEST100, **plain_place())
    empty.wait_for_rows(first, 3)
    first.kill()
    first.wait()
    requests = len(net.paths)
    output = empty.run(*TEST100, **plain_place())
    assert len(net.paths) == requests, "the second run downloaded again"
    assert "evaluate Test100 DGUNet: done" in output
    cell = empty.cells()["Test100", "PSNR"]
    assert (cell["state"], cell["images"], cell["published_images"]) == ("measured", 98, 98)
    assert (cell["verdict"], cell["weights"]) == ("differs", "released")
    assert cell["published"] == "30.32"
    events = empty.ledger()
    assert events.count(("evaluate Test100 DGUNet", "begun")) == 2
    assert events.count(("evaluate Test100 DGUNet", "done")) == 1
    assert events.count(("fetch Test100", "begun")) == 1
    report = (empty.folder() / "report.html").read_text()
    assert "the paper prints 100 pairs" in report
    a_set_that_fails_leaves_the_other_cells(empty)


def a_set_that_fails_leaves_the_other_cells(empty):
    """The same campaign with a second set, which the archive lacks."""
    sets = ("--rows", "DGUNet", "--sets", "Test100,Test1200", "--accept-licence")
    output = empty.run(*sets, status=1, **plain_place())
    assert "evaluate Test100 DGUNet: is there" in output
    assert "evaluate Test1200 DGUNet: left out, fetch Test1200 failed" in output
    assert "dgunet data import Test1200" in output
    cells = empty.cells()
    assert cells["Test100", "PSNR"]["state"] == "measured"
    assert cells["Test1200", "PSNR"]["state"] == "not run"
    failed = [e for e in Ledger(empty.folder()).entries if e.event == "failed"]
    assert [entry.step for entry in failed] == ["fetch Test1200"]
    assert "Test1200" in failed[0].facts["reason"]


def test_100_pairs_of_test100_are_named_as_the_other_release(empty, net, derain):
    net.drive |= {DRIVE: pairs_archive("Test100", 100), stand_in.RGB: derain}
    output = empty.run(*TEST100, **plain_place())
    assert "Rain800's test half" in output
    cell = empty.cells()["Test100", "PSNR"]
    assert (cell["state"], cell["verdict"]) == ("partial", "partial")
    assert "Rain800's test half" in cell["note"]


def test_without_weights_nothing_is_evaluated_and_the_reason_is_shown(empty, net):
    net.drive |= {DRIVE: pairs_archive("Test100", 98), stand_in.RGB: QUOTA}
    output = empty.run(*TEST100, status=1, **plain_place())
    assert "quota" in output
    assert "evaluate Test100 DGUNet: left out, weights derain-DGUNet failed" in output
    assert "failed: tables: there is no result" in output


def test_ctrl_c_ends_with_the_ledger_and_the_same_command_goes_on(sample):
    process = sample.start(*TRAINED)
    for line in process.stdout:
        if "] train derain-DGUNet" in line:
            break
    process.send_signal(signal.SIGINT)
    output = process.stdout.read()
    assert process.wait() == 130, output
    assert ("train derain-DGUNet", "interrupted") in sample.ledger("trained-sample")
    sample.run(*TRAINED)
    (compared,) = read_overlaps(sample.folder("trained-sample") / "overlaps.json")
    assert (compared.train, compared.test) == ("Rain13K", "Rain100L")
    cell = sample.cells("trained-sample")["Rain100L", "PSNR"]
    assert (cell["state"], cell["weights"]) == ("sample", "trained")
    assert cell["verdict"] == "not comparable"
    a_file_of_weights_fills_its_cell(sample, cell)


def a_file_of_weights_fills_its_cell(sample, trained):
    """The network of the campaign before, given as a file."""
    weights = sample.folder("trained-sample") / "models/trained/derain-DGUNet/network.safetensors"
    chosen = ("--weights", str(weights), "--sets", "Rain100L", "--profile", "sample")
    output = sample.run(*chosen)
    assert "fills 2" in output
    cell = sample.cells("network-sample")["Rain100L", "PSNR"]
    assert cell["value"] == trained["value"]
    assert cell["checkpoint_sha256"] == trained["checkpoint_sha256"]


def test_a_file_that_is_missing_or_of_another_task_is_refused(sample, tmp_path):
    output = sample.run("table1", "--weights", "mine.pth", status=1)
    assert "there is no such file" in output
    network = DGUNet(preset("deblur", n_feat=8, scale=4, last_width=4, gradient_width=16))
    save_network(network, tmp_path / "blur.safetensors", {})
    output = sample.run("table1", "--weights", str(tmp_path / "blur.safetensors"), status=1)
    assert "holds DGUNet for deblur" in output


def test_without_a_terminal_the_licences_must_have_been_accepted(empty, net):
    output = empty.run(*TEST100[:-1], status=1, **plain_place())
    assert "--accept-licence" in output
    assert "licence" in output
    assert net.paths == []


def test_the_plan_does_nothing(empty, net):
    output = empty.run("table1", "--plan")
    assert "24 wanted: fills 24" in output
    assert net.paths == []
    assert {path.name for path in empty.home.iterdir()} == {"params.yaml", "records"}
