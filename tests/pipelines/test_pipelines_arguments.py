"""Arguments of a run: the paper's by default, checked before anything starts."""

import hashlib
import re
import subprocess
from itertools import product

import pytest
import yaml

from dgunet.campaign.description import campaign_of
from dgunet.config import parse_params
from dgunet.data.catalogue.entries import dataset
from dgunet.kubeflow.pipeline.arguments import run_arguments
from dgunet.kubeflow.pipeline.compiling import documents
from dgunet.kubeflow.steps.code_pins import protocol_versions
from dgunet.kubeflow.submission import data_origin
from dgunet.project import ProjectFolders
from dgunet.system.errors import DgunetError
from dgunet.system.package_digest import code_version
from dgunet.terms import ABLATION_SET, TASKS

DATA_ARGUMENTS = ["data_source=/data", "data_version=first"]


@pytest.fixture
def given(project):
    """Return the arguments of a committed pipeline."""

    def make(name, *asked, params=None, on_cluster=True):
        text = (project / "pipelines" / "compiled" / f"{name}.yaml").read_text()
        return run_arguments(
            documents(text)[0],
            params=params or (project / "params.yaml").read_text(),
            given=[*DATA_ARGUMENTS, *asked],
            here=ProjectFolders(project),
            on_cluster=on_cluster,
            image_digest="sha256:1",
        )

    return make


def test_reproduce_covers_the_whole_paper_by_default(given):
    made = given("reproduce")
    assert len(made["networks"]) == 8  # three tasks, and five ratios of compressive sensing
    assert len(made["test_sets"]) == 12
    assert len(made["ablations"]) == 9
    assert made["code_version"] == code_version()
    assert made["protocols"] == protocol_versions()
    assert made["image_digest"] == "sha256:1"
    assert (made["data_source"], made["data_version"]) == ("/data", "first")


def test_the_variants_of_the_parameter_file_decide_the_networks(given, project):
    text = (project / "params.yaml").read_text()
    both = given("reproduce", params=text.replace("- DGUNet\n", "- DGUNet\n- DGUNet+\n"))
    assert len(both["networks"]) == 16


def of_pipeline(made):
    """Return test set, row and ratio of every result of `reproduce` with these arguments."""
    found = [
        (name, network["variant"], network["ratio"])
        for network in made["networks"]
        for name in made["test_sets"]
        if dataset(name).task == network["kind"]
    ]
    return sorted(found + [(ABLATION_SET, name, 0) for name in made["ablations"]])


def of_dvc(project, params):
    """Return the same of the stages of `dvc repro`."""
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    networks = project / "pipelines" / params.weights / "dvc.yaml"
    ablations = yaml.safe_load(networks.read_text())["stages"]["evaluate-ablation"]["foreach"]
    found = [(ABLATION_SET, name, 0) for name in ablations]
    for task in TASKS:
        stage = stages[f"evaluate-{task}"]
        ratios = re.findall(r"/cs-r(\d+)-", " ".join(stage["deps"])) or [0]
        assert stage["matrix"]["variant"] == "${variants}"
        found += product(stage["matrix"]["set"], params.variants, map(int, ratios))
    return sorted(found)


@pytest.mark.parametrize("variants", ["- DGUNet\n", "- DGUNet\n- DGUNet+\n"])
@pytest.mark.parametrize("origin", ["trained", "released"])
def test_pipeline_dvc_and_campaign_make_the_same_results(given, project, variants, origin):
    text = (project / "params.yaml").read_text()
    text = text.replace("weights: trained", f"weights: {origin}").replace("- DGUNet\n", variants)
    params = parse_params(text)
    campaign = campaign_of(params).evaluations()
    wanted = sorted((each.dataset, each.row, each.network.ratio) for each in campaign)
    made = given("reproduce", params=text)
    assert made["weights"] == origin
    assert of_pipeline(made) == wanted
    assert of_dvc(project, params) == wanted


def test_weights_can_be_set_for_one_run(given):
    assert given("reproduce")["weights"] == "trained"
    made = given("reproduce", "weights=released")
    assert (made["weights"], made["ablations"]) == ("released", ["stages-7"])
    assert made["networks"] == given("reproduce")["networks"]


def test_the_word_released_is_not_a_path(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "released").mkdir()
    made = given("reproduce", "weights=released", on_cluster=False)
    assert made["weights"] == "released"


def test_defaults_follow_the_task(given):
    made = given("train_evaluate", "task=cs", "ratio=10")
    assert (made["training_set"], made["test_sets"]) == ("BSD400", ["Set11", "BSD68"])
    assert made["ratio"] == 10


def test_a_parameter_can_be_read_from_a_file(given, tmp_path):
    (tmp_path / "scores.json").write_text('[{"psnr": 40.0}]')
    made = given("reproduce", f"dnd_records=@{tmp_path / 'scores.json'}")
    assert made["dnd_records"] == '[{"psnr": 40.0}]'


def test_local_weights_are_identified_by_their_digest(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"weights")
    made = given("evaluate_checkpoint", "weights=w.pth", on_cluster=False)
    assert made["weights"] == str(tmp_path / "w.pth")
    assert len(made["weights_sha256"]) == 64


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("reproduce", "test_set=Rain100L", "did you mean test_sets"),
        ("reproduce", "test_sets=Rain100X", "'Rain100X' is not a test set"),
        ("reproduce", "test_sets=", "test_sets is empty"),
        ("reproduce", "ablations=stages-8", "unknown ablation 'stages-8'"),
        ("reproduce", 'networks=[{"kind": "derain"}]', "Each network has the form"),
        ("reproduce", "weights=realesed", "Give trained, to train every network, or released"),
        ("reproduce", "networks=[1", "networks is not JSON"),
        ("reproduce", "code_version=1", "Its value is determined automatically"),
        ("reproduce", "params=x", "--params"),
        ("reproduce", "oops", "has no '='"),
        ("reproduce", "dnd_records=@absent.json", "the file absent.json does not exist"),
        ("reproduce", "data_source=https://example.org/x.git", "Give all 40 digits"),
        ("train_evaluate", "ratio=ten", "not a whole number"),
        ("train_evaluate", "ratio=10", "Use --ratio for compressive sensing, and only for it"),
        ("train_evaluate", "task=dehaze", "unknown task 'dehaze'"),
        ("train_evaluate", "training_set=Rain100L", "is a test set for derain"),
        ("train_evaluate", "variant=DGUnet", "DGUnet"),
        ("evaluate_checkpoint", "task=derain", "no value for weights"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line(given, name, asked, expected):
    with pytest.raises(DgunetError) as refusal:
        given(name, asked)
    assert expected in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_ablations_without_published_weights_are_refused_with_the_reason(given):
    with pytest.raises(DgunetError, match=r"stages-9, but the authors published no .*: stages-7"):
        given("reproduce", "weights=released", "ablations=stages-7,stages-9")


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("git@example.org:lab/x.git", "ssh://git@example.org/lab/x.git"),
        ("https://me:secret@example.org:8443/x.git", "https://example.org:8443/x.git"),
        ("ssh://git:secret@example.org/x.git", "ssh://git@example.org/x.git"),
    ],
)
def test_public_addresses_have_no_password(url, public):
    assert data_origin.public_address(url) == public


@pytest.mark.parametrize("url", ["/srv/git/x.git", "../x", "file:///srv/x.git"])
def test_a_folder_is_refused_as_an_address_for_pods(url):
    with pytest.raises(DgunetError, match="no pod can reach"):
        data_origin.public_address(url)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A pushed repository with a DVC pointer and a remote inside it, and a function for git."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    home = tmp_path / "clone"

    def git(*arguments, at=home):
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, *arguments], cwd=at, check=True, capture_output=True)

    home.mkdir()
    (tmp_path / "server").mkdir()
    git("init", "--bare", at=tmp_path / "server")
    git("init")
    (home / ".dvc").mkdir()
    (home / ".dvc/config").write_text(
        "[core]\n    remote = own\n['remote \"own\"']\n    url = ../store\n"
    )
    (home / "store").mkdir()
    (home / "store" / "object").write_text("1")
    (home / "data.dvc").write_text("outs:\n- md5: 1.dir\n")
    git("add", ".")
    git("commit", "-m", "first")
    git("remote", "add", "origin", str(tmp_path / "server"))
    git("push", "--set-upstream", "origin", "main")
    git("config", "remote.origin.pushurl", str(tmp_path / "server"))
    git("remote", "set-url", "origin", "git@example.org:lab/x.git")
    return home, git


def test_the_pushed_commit_is_the_version_of_the_data(repository):
    source, version = data_origin.pushed_data(repository[0])
    assert source == "ssh://git@example.org/lab/x.git"
    assert len(version) == 40


@pytest.mark.parametrize("path", ["data.dvc", ".dvc/config", "store/object", "store/new"])
def test_uncommitted_data_changes_are_refused_with_a_hint(repository, path):
    (repository[0] / path).write_text("changed")
    with pytest.raises(DgunetError, match=r"files differ from the commit: .*git commit and push"):
        data_origin.pushed_data(repository[0])


def test_an_unpushed_commit_is_refused(repository):
    home, git = repository
    git("commit", "--allow-empty", "-m", "second")
    with pytest.raises(DgunetError, match="is not on the git remote origin"):
        data_origin.pushed_data(home)
    git("push")
    git("fetch", str(home.parent / "server"), "main:refs/remotes/origin/main")
    data_origin.pushed_data(home)


def test_unrelated_changes_in_the_clone_are_ignored(repository):
    (repository[0] / "notes.txt").write_text("mine")
    data_origin.pushed_data(repository[0])


def test_a_folder_outside_git_is_refused_with_a_hint(tmp_path):
    with pytest.raises(DgunetError, match="-p data_source=ADDRESS"):
        data_origin.pushed_data(tmp_path)


def test_a_dvc_remote_without_the_data_is_refused_until_they_are_pushed(tmp_path):
    digest = hashlib.md5(b"pictures").hexdigest()
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(
        "[core]\n    no_scm = true\n    remote = own\n['remote \"own\"']\n    url = ../store\n"
    )
    (tmp_path / "data.dvc").write_text(
        f"outs:\n- md5: {digest}\n  size: 8\n  hash: md5\n  path: data\n"
    )
    with pytest.raises(DgunetError, match=r"lacks 1 of the files .* dvc push"):
        data_origin.check_pushed(tmp_path)
    stored = tmp_path / "store" / "files" / "md5" / digest[:2] / digest[2:]
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"pictures")
    data_origin.check_pushed(tmp_path)


def test_an_unreadable_dvc_remote_is_a_one_line_error(tmp_path):
    with pytest.raises(DgunetError, match="is unknown") as refusal:
        data_origin.check_pushed(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1
