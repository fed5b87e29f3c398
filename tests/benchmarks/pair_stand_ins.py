"""Candidates of the tests of `benchmarks.pairs`, which run in processes of their own."""

import os
import time
from pathlib import Path

from benchmarks.worker import Work


def writing(name, log, result=1.0):
    """Appends its name to a file at every run; prints, as libraries do."""

    def run():
        print("a library prints this")
        time.sleep(0.21)  # as long as is timed at least, so that one request is one run
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{name} ")
        return result

    return Work(run, lambda value: {"value": value})


def failing(message):
    raise ValueError(message)


def ending(status):
    os._exit(status)


def missing():
    import a_package_that_nobody_has  # noqa: F401


def silent():
    time.sleep(60)
