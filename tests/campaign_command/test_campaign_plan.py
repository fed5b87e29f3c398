"""The plan of a campaign: steps, costs and cells, without any request."""

import pytest

from dgunet.campaign.description import Campaign, choose_cells
from dgunet.campaign.folder import campaign_folders, campaign_params
from dgunet.campaign.plan import plan_campaign
from dgunet.campaign.plan_text import plan_content, plan_text
from dgunet.costs.estimate import Price
from dgunet.costs.evaluation_cost import evaluation_cost
from dgunet.costs.formats import duration
from dgunet.costs.machines import given_machine, named_machines
from dgunet.costs.training_cost import training_cost
from dgunet.network import preset
from dgunet.project import ProjectFolders
from dgunet.steps.prepare import prepare_store


@pytest.fixture
def planned(tmp_path, project, monkeypatch, sample_root):
    (tmp_path / "params.yaml").write_text((project / "params.yaml").read_text())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(sample_root)

    def plan(*tables, weights="released", profile="paper", **chosen):
        here = campaign_folders(ProjectFolders(tmp_path), "test", weights)
        campaign = Campaign(profile, weights, choose_cells(tables, **chosen))
        return plan_campaign(campaign, here, campaign_params(here, profile, weights))

    return plan


def steps(plan, kind):
    return {step.subject: step for step in plan.steps if step.kind == kind}


def test_the_plan_of_all_six_tables_as_text(planned):
    plan = planned()
    text = plan_text(plan, plan.estimate(named_machines()))
    # Of Tables 1-6: both networks on DND, and 5 + 3 ablations without weights.
    assert "94 wanted: fills 82, cannot fill 12" in text
    for line in (
        "fetch Test100",
        "weights cs-r50-DGUNet+",
        "check Test2800",
        "prepare RealBlur-J",
        "evaluate Rain100H stages-7",
        "evaluate BSD68 DGUNet+ 50 %",
        "tables",
        "in all",
    ):
        assert f"\n{line}" in text
    assert "not filled: the authors published no weights of it\n    Table 5, 9 stages" in text
    assert "not filled: DND cannot be downloaded: Open https://noise.visinf" in text
    assert "evaluate DND" not in text, "nothing can be evaluated without the set"
    for gpu in ("V100-32GB", "A100-80GB", "H100-80GB"):
        assert f"  {gpu}: " in text
    assert "assumed" in text


def test_every_wanted_cell_has_one_outcome(planned):
    plan = planned()
    assert [each.cell for each in plan.cells] == list(plan.campaign.cells)
    outcomes = {each.cell.name: (each.outcome, each.reason) for each in plan.cells}
    assert outcomes["Table 1, DGUNet, Average"] == ("fills", "")
    assert outcomes["Table 6, DGUNet+"] == ("fills", "")
    assert outcomes["Table 6, w/o SP"] == ("not", "the authors published no weights of it")
    assert outcomes["Table 3, DGUNet, DND"][0] == "not"
    sample = planned("3", profile="sample")
    assert {e.cell.label: e.outcome for e in sample.cells} == {"SIDD": "fills", "DND": "waiting"}


def test_operations_are_those_of_the_published_networks(planned):
    plan = planned(rows=["DGUNet+"], columns=["Rain100L", "Set11 25%"])
    found = steps(plan, "evaluate")
    one = evaluation_cost("Rain100L", preset("derain", "DGUNet+"))
    two = evaluation_cost("Set11", preset("cs", "DGUNet+", ratio=25))
    assert found["Rain100L DGUNet+"].work.operations == one.operations
    assert found["Set11 DGUNet+ 25 %"].work.operations == two.operations
    machine = given_machine(1.0)
    assert one.operations / 1e12 == pytest.approx(machine.seconds(one.operations))


def test_an_archive_of_several_sets_or_networks_is_counted_once(planned):
    plan = planned("1")
    fetched, weights = steps(plan, "fetch"), steps(plan, "weights")
    assert fetched["Test100"].download == 1_360_310_555
    assert fetched["Test2800"].download == fetched["Test1200"].download == 0
    assert weights["derain-DGUNet"].download is None, "nobody states its size"
    assert weights["derain-DGUNet+"].download == 0
    names = [terms.name for terms in plan.consents]
    assert len(names) == len(set(names)) == 5 + 1


def test_what_is_there_is_not_planned_again(planned, sample_root):
    before = planned("1", rows=["DGUNet"], columns=["Rain100L"], profile="sample")
    assert steps(before, "fetch") == {}
    assert not steps(before, "prepare")["Rain100L"].present
    prepare_store("sample", "Rain100L", root=sample_root, out=before.here.store("Rain100L"))
    after = planned("1", rows=["DGUNet"], columns=["Rain100L"], profile="sample")
    assert steps(after, "prepare")["Rain100L"].present
    (of_files,), (of_store,) = (steps(each, "evaluate").values() for each in (before, after))
    assert of_store.work.operations == of_files.work.operations, "sizes of files and store differ"


def test_the_sample_is_priced_with_its_own_sizes(planned):
    sample = planned(columns=["Rain100L"], rows=["DGUNet"], profile="sample")
    paper = planned(columns=["Rain100L"], rows=["DGUNet"])
    small = steps(sample, "evaluate")["Rain100L DGUNet"].work.operations
    assert 0 < small < steps(paper, "evaluate")["Rain100L DGUNet"].work.operations / 100


def test_a_trained_campaign_plans_its_trainings(planned):
    plan = planned("4", rows=["DGUNet"], columns=["Set11 10%"], weights="trained")
    kinds = [step.kind for step in plan.steps]
    assert kinds == [*["fetch"] * 2, *["check", "prepare"] * 2, "train", "evaluate", "tables"]
    (training,) = steps(plan, "train").values()
    assert (
        training.work.operations
        > 1000 * steps(plan, "evaluate")["Set11 DGUNet 10 %"].work.operations
    )


def test_the_json_of_the_plan_has_the_numbers_of_its_text(planned):
    plan = planned("4", rows=["DGUNet"], columns=["Set11 10%"], weights="trained")
    estimate = plan.estimate([given_machine(10)], Price(3, "CHF"))
    text, content = plan_text(plan, estimate), plan_content(plan, estimate)
    (machine,) = content["estimate"]["machines"]
    assert f"{machine['money']['amount']:,.2f} CHF (10 TFLOP/s sustained; given)" in text
    assert f"  {duration(machine['wall_seconds'])}" in text
    todo = [step["name"] for step in content["steps"] if not step["present"]]
    assert [work["name"] for work in content["estimate"]["works"]] == todo
    assert sum(each["values"] for each in content["cells"]) == sum(
        len(each.cell.metrics) for each in plan.cells
    )
    (training,) = steps(plan, "train").values()
    cost = training_cost(plan_config(plan), plan.params.training("cs"))
    assert training.work.seconds(given_machine(10)) == cost.seconds(given_machine(10))


def plan_config(plan):
    (network,) = plan.campaign.networks()
    changes = dict(plan.params.active.network)
    return preset(network.task, network.variant, ratio=network.ratio, **changes)
