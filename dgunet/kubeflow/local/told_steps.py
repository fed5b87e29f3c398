"""Steps of kfp's local runner that tell what they worked on, how they ended, and why.

kfp names a step ``prepare-3`` and a failure ``'ablate' inside 'for-loop-2-iteration-0'``. Here
every step adds a line to the log with its dataset or network, its state, and after a failure the
cause.
"""

from __future__ import annotations

import builtins
import itertools
import json
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from kfp.local import docker_task_handler, subprocess_task_handler

from dgunet.kubeflow.run_records import FAILURE, SUCCESS, StepEnd

SHOWN = ("name", "ablation", "dataset", "task", "variant", "ratio", "part")
"""Parameters of components that say what a step works on."""

PYTHON_ERROR = re.compile(r"(\w+\.)*\w*(Error|Exception): ")
SHELL_LINE = re.compile(r"^: \d+: ")
"""Beginning of the shell's messages, whose file name is empty."""

NOTICE = re.compile(r"(Killed|Terminated|Aborted|Segmentation fault|Bus error)( \(core dumped\))?")
"""What a shell prints after its command was ended by a signal."""


class _Lines(threading.local):
    """What the step of this thread has printed; steps of a loop run in threads."""

    last = ""
    error = ""


_lines = _Lines()


def tell_steps(*, warm: bool) -> None:
    """Make kfp's runners add the line of each step, and quote the interpreter's path.

    Args:
        warm: run ``python3 -m MODULE`` in the warm process.
    """
    local: Any = subprocess_task_handler
    local.replace_python_executable = lambda command, path: with_interpreter(command, path, warm)
    _wrap(subprocess_task_handler, "run_local_subprocess", "full_command")
    _wrap(docker_task_handler, "run_docker_container", "command")


def with_interpreter(command: Sequence[str], interpreter: str, warm: bool = False) -> list[str]:
    """Replace ``python3`` in the shell script of a step, and nowhere else.

    kfp's own function puts the path in without quotes, and also replaces ``python3`` in the step's
    arguments, where it is a part of paths and parameters.

    Args:
        command: a shell, its option, the script, the program and the arguments.
        interpreter: path of the Python interpreter.
        warm: run modules in the warm process, which has imported the libraries.
    """
    python = shlex.quote(interpreter) + (" -m dgunet.cli.warm_client" if warm else "")
    shell, option, script, *rest = command
    return [shell, option, re.sub(r"\bpython3 -m ", lambda _: f"{python} -m ", script), *rest]


def described(command: Sequence[str]) -> tuple[str, str]:
    """Name of a step and what it works on, from the arguments of its executor.

    Returns:
        For example ``evaluate`` and ``Set11, DGUNet, ratio 10``.
    """
    options = dict(itertools.pairwise(command))
    name = options.get("--function_to_execute", "step").replace("_", "-")
    try:
        inputs = json.loads(options.get("--executor_input", "{}")).get("inputs", {})
        values = inputs.get("parameterValues", {})
    except (ValueError, AttributeError):  # of another version of kfp
        return name, ""
    given = ((key, values[key]) for key in SHOWN if values.get(key))
    forms = {"ratio": "ratio {:g}", "part": "part {}"}
    shown = (forms.get(key, "{}").format(value) for key, value in given)
    return name, ", ".join(shown)


def cause(status: int, last: str, error: str) -> str:
    """Why a step ended with ``status``, in one line.

    Args:
        status: exit status; negative, or above 128 from the step's shell, for a signal.
        last: the last line that the step printed.
        error: the last line with a Python error; "" without one.
    """
    number = -status if status < 0 else status - 128
    shown = f"; its last line: {last}" if last else ""
    if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
        memory = ", most likely because memory ran out" if number == signal.SIGKILL else ""
        return f"ended by {signal.Signals(number).name}{memory}{shown}"
    return error or (last if last else f"ended with status {status} without a line")


def _wrap(module: ModuleType, function: str, keyword: str) -> None:
    """Replace a function that runs a step's ``keyword`` and returns its status, printing lines."""
    real: Callable[..., int] = getattr(module, function)

    def run(*given: Any, **named: Any) -> int:
        _lines.last = _lines.error = ""
        status = real(*given, **named)
        name, about = described(named[keyword])
        state = FAILURE if status else SUCCESS
        why = cause(status, _lines.last, _lines.error) if status else ""
        end = StepEnd(time.strftime("%H:%M:%S"), name, state, about, why)
        builtins.print(end.to_log())
        return status

    own: Any = module
    setattr(own, function, run)
    own.print = _print


def _print(*values: Any, **options: Any) -> None:
    """Print as the built-in function, which kfp replaces while a step runs, and note the line."""
    for line in " ".join(map(str, values)).splitlines():
        plain = SHELL_LINE.sub("", line.strip()).rstrip(".")
        if plain and not NOTICE.fullmatch(plain):
            _lines.last = plain
            if PYTHON_ERROR.match(plain):
                _lines.error = plain
    builtins.print(*values, **options)
