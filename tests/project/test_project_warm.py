"""A command in a fork of the warm process does what it does in a process of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from dgunet.cli import warm_process

DGUNET = [sys.executable, "-m", "dgunet"]


@pytest.fixture
def started(project, tmp_path, warm, at_the_start):
    """Start a command in the warm process, in an empty folder."""

    def start(*command, **variables):
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=at_the_start | {"PYTHONPATH": str(project)} | warm | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def shown(tmp_path):
    """A module `shown` that prints what a process knows about itself."""
    (tmp_path / "shown.py").write_text(
        "import json, os, sys\n"
        "facts = [os.getppid(), 'torch' in sys.modules, 'dgunet.cli' in sys.modules, os.getcwd()]\n"
        "print(json.dumps([*facts, sys.argv[1:], os.environ.get('MINE'), sys.stdin.read()]))\n"
        "sys.exit(7)\n"
    )
    return [sys.executable, "-m", "dgunet.cli.warm_client", "-m", "shown"]


def facts(process, given=""):
    """The output of `shown`, and its exit status."""
    output, errors = process.communicate(given)
    assert errors == ""
    return json.loads(output), process.returncode


@pytest.mark.parametrize(
    "arguments", [["--version"], ["nonsense"], ["tables"], ["protocols", "rain-y"]], ids=" ".join
)
def test_output_and_status_are_those_of_an_own_process(started, arguments):
    cold, hot = started(*DGUNET, *arguments, DGUNET_WARM=""), started(*DGUNET, *arguments)
    assert (hot.communicate(), hot.returncode) == (cold.communicate(), cold.returncode)


def test_a_command_has_its_callers_folder_arguments_variables_and_input(started, shown, tmp_path):
    found, status = facts(started(*shown, "a b", "c", MINE="é\n"), given="given")
    parent, torch, own, *rest = found
    assert psutil.Process(parent).cmdline()[1:3] == ["-m", "dgunet.cli.warm_process"]
    assert torch, "the libraries are imported"
    assert not own, "modules of dgunet are read anew"
    assert rest == [str(tmp_path), ["a b", "c"], "é\n", "given"]
    assert status == 7


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "PYTHONHASHSEED", "LC_ALL"])
def test_a_command_with_other_variables_of_the_libraries_runs_in_its_own_process(
    started, shown, name
):
    process = started(*shown, **{name: {"LC_ALL": "C.UTF-8"}.get(name, "17")})
    (parent, torch, *_), status = facts(process)
    assert (parent, torch, status) == (os.getpid(), False, 7)


def test_a_command_whose_parent_has_imported_the_libraries_runs_in_the_warm_process(
    started, shown, tmp_path
):
    """Libraries set variables, which a child has from its beginning."""
    (tmp_path / "parent.py").write_text(
        "import os, subprocess, sys\n"
        "import sklearn\n"
        "assert 'KMP_DUPLICATE_LIB_OK' in os.environ\n"
        "print(subprocess.run(sys.argv[1:], input='', text=True, stdout=-1).stdout)\n"
    )
    client = shown[:3]
    (parent, *_), _ = facts(started(*client, "-m", "parent", *shown))
    assert psutil.Process(parent).cmdline()[1:3] == ["-m", "dgunet.cli.warm_process"]


def test_other_arguments_of_python_start_python(started):
    process = started(sys.executable, "-m", "dgunet.cli.warm_client", "-c", "print(2 + 2)")
    assert process.communicate()[0] == "4\n"


def test_without_the_warm_process_a_command_runs_in_its_own(started, shown, tmp_path):
    (parent, *_), _ = facts(started(*shown, DGUNET_WARM=str(tmp_path / "nobody")))
    assert parent == os.getpid()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command(started, tmp_path, number):
    (tmp_path / "waiting.py").write_text(
        "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "finally:\n    print('over')\n"
    )
    process = started(sys.executable, "-m", "dgunet.cli.warm_client", "-m", "waiting")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    output, errors = process.communicate()
    if number == signal.SIGINT:
        assert output == "over\n"
        assert "KeyboardInterrupt" in errors
        assert process.returncode in (130, -signal.SIGINT)
    else:
        assert (output, process.returncode) == ("", -signal.SIGTERM)


def test_the_command_of_a_killed_caller_is_killed(started, tmp_path):
    (tmp_path / "waiting.py").write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    process = started(sys.executable, "-m", "dgunet.cli.warm_client", "-m", "waiting")
    command = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.communicate()
    assert command.wait(timeout=60) is None


def test_an_edited_module_is_used_at_once(started, project, tmp_path):
    """Also by the next command of the same warm process."""
    shutil.copytree(project / "dgunet", tmp_path / "dgunet")
    for version in ("1.2.3", "1.2.30"):
        package = tmp_path / "dgunet" / "__init__.py"
        text = re.sub('__version__ = ".*"', f'__version__ = "{version}"', package.read_text())
        package.write_text(text)
        process = started(*DGUNET, "--version", PYTHONPATH=str(tmp_path))
        assert process.communicate()[0] == f"dgunet {version}\n"


def test_the_warm_process_ends_as_its_command_and_leaves_nothing(project, tmp_path):
    code = "import os, sys; assert os.path.exists(os.environ['DGUNET_WARM']); sys.exit(3)"
    done = subprocess.run(
        [sys.executable, "-m", "dgunet.cli.warm_process", sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(project), "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 3
    assert not list(tmp_path.glob("dgunet-warm-*"))


def test_the_libraries_start_no_thread_and_compute_nothing(project):
    """A fork has none of the threads, and inherits what the first computation settles."""
    code = (
        "import threading, torch\n"
        "from dgunet.cli.warm_process import _import_libraries\n"
        "_import_libraries()\n"
        "import os; os.environ['ATEN_CPU_CAPABILITY'] = 'default'\n"
        "print(threading.active_count(), torch.backends.cpu.get_cpu_capability())\n"
    )
    env = os.environ | {"PYTHONPATH": str(project)}
    env.pop("ATEN_CPU_CAPABILITY")
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "DEFAULT"]


def test_variables_that_are_read_later_may_differ():
    same = warm_process._fixed("/venv", {"OMP_NUM_THREADS": "1", "PYTHONPATH": "a", "X": "1"})
    assert same == warm_process._fixed("/venv", {"OMP_NUM_THREADS": "1", "MKL_CBWR": "COMPATIBLE"})
    assert same != warm_process._fixed("/other", {"OMP_NUM_THREADS": "1"})
