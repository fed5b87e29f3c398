"""The examples in the help of every command, and where each of them is run by a test."""

import re
import shlex

import typer

from dgunet.cli import command

NEEDS_A_PROJECT = {
    "dgunet tables",
    "dgunet report",
    "dgunet report --mlflow 'report of the sample'",
    "dgunet status",
    "dgunet status --json",
    "dgunet clean",
    "dgunet claims",
    "dgunet claims --markdown",
    "dgunet claims --mlflow 'claims of the sample'",
    "dgunet verify",
    "dgunet verify build/evaluation build/tables",
    "dgunet verify --seal build/prepared",
    "dgunet reduced-run --plan",
    "dgunet drift results/sample/trained results/sample/trained",
    "dgunet --debug evaluate --sets Rain100L",
    "dgunet evaluate --sets Rain100L,Rain100H",
    "dgunet evaluate --ablation stages-3",
    "dgunet explain 1 'DGUNet (sample, not comparable)' 'Rain100L PSNR'",
    "dgunet runs --table 1 --stage evaluate --show psnr --sort psnr",
    "dgunet runs --table 5 --stage evaluate --compare",
    "dgunet runs --where dataset=Rain100H --where variant=DGUNet --server",
    "dgunet data verify Rain100H Set11",
    "dgunet data verify build/prepared/Rain100H",
    "dgunet data check",
    "dgunet models register derain",
    "dgunet tracking doctor --dry-run",
    "dgunet tracking sync",
}
"""Examples for a project in which `make reproduce` has run; tests/reproduce runs them there."""

NOT_RUN = {
    "dgunet campaign": "downloads the paper's data, or measures the machine for half a minute",
    "dgunet bundle": "asks for a project; tests/trust makes bundles and verifies them",
    "dgunet verify results.zip": "needs a bundle; tests/trust verifies some",
    "dgunet verify scores.zip": "needs a bundle; tests/trust verifies some",
    "dgunet score results/Rain100L Rain100L/target --protocol rain-y --bundle": "tests/trust does",
    "dgunet train": "trains; tests/reproduce trains every network of the sample",
    "torchrun": "trains; tests/training trains in several processes",
    "dgunet evaluate --checkpoint": "evaluates all sets of a task; see the other examples",
    "dgunet explain --campaign": "needs the campaign of the authors' weights",
    "dgunet explain 4": "needs the campaign of the authors' weights",
    "dgunet reduced-run --root": "trains for hours; tests/steps runs its steps",
    "dgunet claims build/reduced": "needs the reduced run",
    "dgunet score restored.mat": "needs results of all images of Set11",
    "dgunet score Idenoised.mat": "needs the ground truth of SIDD",
    "dgunet claims seeds": "needs several trainings; tests/steps judges two",
    "dgunet clean --yes": "removes files; see the example without --yes",
    "dgunet clean /data": "removes files of a folder that only an example has",
    "dgunet data prepare Set11": "needs a folder of official archives",
    "dgunet data prepare Test2800": "needs the paper's data; tests/data prepares parts",
    "dgunet evaluate --sets Rain100H --part": "leaves rows in the project; tests/steps runs parts",
    "dgunet data prepare SIDD-train": "needs the training photographs of SIDD",
    "dgunet data import": "needs a downloaded archive",
    "dgunet data croissant": "needs prepared data; tests/data describes some",
    "dgunet data fetch": "downloads",
    "dgunet data check Rain100H": "needs the paper's data",
    "dgunet data check GoPro": "needs the paper's data",
    "dgunet data check Rain13K": "needs the paper's data",
    "dgunet data check --mlflow": "as the example without --mlflow",
    "dgunet demo": "runs until Ctrl-C; tests/demo runs it",
    "dgunet dnd": "needs an evaluation of DND's photographs",
    "dgunet checkpoint fetch": "downloads",
    "dgunet checkpoint export derain.safetensors --out derain.onnx": "takes minutes;"
    " tests/network exports small networks",
    "dgunet tracking sync to a server": "needs a server",
    "dgunet tracking ui": "runs until Ctrl-C",
    "dgunet models register cs": "needs a training of DGUNet+, which the sample does not have",
    "dgunet models promote": "its exit status tells the outcome; tests/tracking promotes",
    "dgunet models official": "writes to MLflow; tests/tracking does it",
    "dgunet pipeline run": "trains; tests/reproduce runs a pipeline",
    "dgunet pipeline submit": "needs a cluster file; --dry-run is run by tests/pipelines",
    "dgunet pipeline plan": "needs a cluster file; tests/pipelines plans with one",
    "dgunet calibrate": "measures the machine for ten seconds; tests/costs calibrates",
    "dgunet pipeline doctor": "needs a cluster; tests/pipelines runs it against a stand-in",
    "dgunet pipeline compile": "needs a cluster file; tests/pipelines compiles with one",
    "dgunet pipeline status 0b1c2d3e": "needs a cluster",
    "dgunet pipeline status RUN_ID": "needs a cluster",
    "dgunet pipeline status local-": "needs the run of this name",
    "dgunet pipeline logs": "needs a cluster",
    "dgunet pipeline cancel": "needs a cluster",
}
"""Examples and printed commands that are only parsed, by how they begin, with the reason."""


def leaves(parent, path=()):
    """(name, command) of every command that is not a group."""
    children = getattr(parent, "commands", {})
    if not children:
        yield " ".join(path), parent
    for name, child in children.items():
        yield from leaves(child, (*path, name))


def examples():
    """(words, command) of every example: the words as a shell reads them, less a redirection."""
    for name, each in [("", typer.main.get_command(command())), *leaves_of_app()]:
        for text in re.findall(r"Example: (.+?)(?:\n\s*\n|\Z)", each.help or "", re.DOTALL):
            words = shlex.split(text)
            if ">" in words:
                words = words[: words.index(">")]
            yield words, name


def parse(words):
    """Parse ``dgunet ...`` as the command line does, without running it; return its name.

    Raises what the command line raises for unknown commands, unknown options and wrong values.
    """
    each, path, words = typer.main.get_command(command()), [], list(words[1:])
    while hasattr(each, "commands") and words:
        word = words.pop(0)
        if not word.startswith("-"):
            path.append(word)
            each = each.commands[word]
        elif word in ("--help", "-h", "--version", "--install-completion"):
            return " ".join(path)
    if not {"--help", "-h"} & set(words):
        with each.make_context("dgunet", words):
            pass
    return " ".join(path)


def leaves_of_app():
    """The commands of the application."""
    return leaves(typer.main.get_command(command()))


def without_setting(words):
    """The words of a command less the variables that are set before it."""
    return [word for word in words if not re.match(r"[A-Z_]+=", word)]


def reason_not_run(words):
    """Why an example is only parsed; None for one that is run."""
    text = " ".join(without_setting(words))
    if len(without_setting(words)) < len(words):
        text += " to a server"
    if shlex.join(words) in NEEDS_A_PROJECT:
        return "tests/reproduce runs it"
    found = [start for start in NOT_RUN if text.startswith(start)]
    return NOT_RUN[max(found, key=len)] if found else None
