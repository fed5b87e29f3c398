"""Every failure of the command prints one line and sets a status for its cause."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dgunet import cli
from dgunet.cli import application
from dgunet.cli.boundary import PIPE, USERS, debugging, failure_line
from dgunet.system.errors import ConfigError, DgunetError

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from dgunet.cli import main; main()"]


@pytest.fixture
def failing(dgunet, monkeypatch):
    """Run a command that raises; return its exit status and the lines on standard error."""

    def run(error, *arguments):
        app = typer.Typer()
        app.callback()(application._root)

        @app.command()
        def fail():
            raise error

        monkeypatch.setattr(cli, "command", lambda *_: app)
        done = dgunet(*arguments, "fail")
        return done.returncode, done.stderr.splitlines()

    monkeypatch.delenv("DGUNET_DEBUG", raising=False)
    return run


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DgunetError("it is wrong.", "Fix it."), 1, "dgunet: error: it is wrong. Fix it."),
        (ConfigError("a\nb\r\n\tc."), 1, "dgunet: error: a b c."),
        (ConfigError("\x1b[31mred\x07 \u202e"), 1, "dgunet: error: ?[31mred? ?"),
        (ConfigError("caf\udce9 é"), 1, "dgunet: error: caf? é"),
        (
            ConfigError("no answer from https://me:hunter2@host/x?token=abc"),
            1,
            "dgunet: error: no answer from https://host/x",
        ),
        (
            OSError(errno.ENOSPC, "No space", "/a/b"),
            1,
            "dgunet: error: /a/b: the disk is full. Free some space and run the same command"
            " again.",
        ),
        (
            OSError(errno.EACCES, "x", b"/a\n\x1b", None, "/c"),
            1,
            "dgunet: error: /a ? -> /c: permission denied. Choose a folder that you may write to.",
        ),
        (OSError(errno.ELOOP, "Too many links", "/a"), 1, "dgunet: error: /a: Too many links."),
        (OSError("odd"), 1, "dgunet: error: odd."),
        (IsADirectoryError(errno.EISDIR, "x", 3), 1, None),
        (
            MemoryError(),
            1,
            "dgunet: error: not enough memory. Use smaller settings, or a larger machine.",
        ),
        (
            KeyError("psnr"),
            70,
            "dgunet: error: KeyError: 'psnr'. This is a bug of dgunet: please report it with"
            " the output of `dgunet --debug ...` for the same command.",
        ),
        (RecursionError("deep"), 70, None),
        (ValueError("postgresql://u:hunter2@h/db\nsecond line"), 70, None),
    ],
)
def test_a_failure_prints_one_line_and_sets_the_exit_status(failing, error, status, line):
    found, lines = failing(error)
    assert found == status
    assert len(lines) == 1
    if line is not None:
        assert lines == [line]
    assert lines[0].startswith("dgunet: error: ")
    assert "hunter2" not in lines[0]


def test_a_long_message_is_cut(failing):
    _, (line,) = failing(ConfigError("x" * 100_000))
    assert len(line) < 2100


@pytest.mark.parametrize("how", ["option", "1", "yes"])
def test_debug_shows_the_traceback_without_secrets(failing, monkeypatch, how):
    if how != "option":
        monkeypatch.setenv("DGUNET_DEBUG", how)
    options = ("--debug",) if how == "option" else ()
    secret = "hunter2"  # does not appear in the source lines of the traceback
    status, lines = failing(ConfigError(f"https://me:{secret}@host/"), *options)
    os.environ.pop("DGUNET_DEBUG")  # the option sets it, for child processes
    assert (status, lines[0]) == (1, "Traceback (most recent call last):")
    assert lines[-1] == "dgunet: error: https://host/"
    assert not any("hunter2" in line for line in lines)


@pytest.mark.parametrize("value", ["", "0", "false", "no", "OFF"])
def test_false_values_switch_debugging_off(monkeypatch, value):
    monkeypatch.setenv("DGUNET_DEBUG", value)
    assert not debugging()


def test_a_keyboard_interrupt_prints_one_line(failing):
    status, lines = failing(KeyboardInterrupt())
    assert (status, lines[-1]) == (130, "dgunet: interrupted; nothing half-written was kept")
    assert "Traceback" not in "".join(lines)


def test_sigint_prints_one_line(tmp_path):
    code = (
        "import sys, time, typer, dgunet.cli as cli\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def wait():\n"
        "    print('here', flush=True)\n"
        "    time.sleep(60)\n"
        "cli.command = lambda *_: app\n"
        "sys.argv = ['dgunet']\n"
        "cli.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()) == (
        130,
        ["dgunet: interrupted; nothing half-written was kept"],
    )


def test_a_closed_output_pipe_prints_no_error():
    """As in ``dgunet data list | head -c 10``: standard error stays empty."""
    listing = subprocess.Popen(
        [*COMMAND, "data", "cards"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    listing.stdout.close()
    assert listing.stderr.read() == b""
    listing.stderr.close()
    assert listing.wait(60) in (1, PIPE)


def test_a_broken_pipe_has_no_message(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # it is closed
    assert failure_line(BrokenPipeError(errno.EPIPE, "x")) == ("", PIPE)


def test_a_full_disk_behind_the_output_prints_one_line():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "data", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == USERS
    assert done.stderr.startswith("dgunet: error: the disk is full.")
    assert len(done.stderr.splitlines()) == 1


def test_a_name_that_is_not_utf_8_does_not_break_the_output(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    code = "import typer, sys, dgunet.cli as c; c._prepare_output(); typer.echo(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, check=True)
    assert done.stdout.endswith(b"caf\\udce9\n")


def test_warnings_of_libraries_are_shown_only_when_debugging(tmp_path):
    for arguments, shown in ((["x"], False), (["--debug", "x"], True)):
        code = (
            f"import sys, warnings, dgunet.cli as c; sys.argv = ['dgunet', *{arguments!r}]\n"
            "c._prepare_output()\n"
            "warnings.warn('deprecated by a library')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={
                k: v for k, v in os.environ.items() if k not in ("DGUNET_DEBUG", "PYTHONWARNINGS")
            },
        )
        assert ("deprecated by a library" in done.stderr) == shown
