"""A project in which `dgunet campaign` runs as a process, against a stand-in of the internet."""

import io
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dgunet.campaign.ledger import Ledger

DRIVE = "1P_-RAvltEoEhfT-9GrWRdpEi6NSswTs8"
"""Identifier of the deraining test sets' archive on Google Drive."""


@dataclass
class CampaignProject:
    """The project's folder, the code under test, the servers, and variables of a warm process."""

    home: Path
    code: Path
    net: object
    warm: dict

    def environment(self, **places):
        """The environment of a command; ``places`` replace those of ``sources.yaml``."""
        overlay = self.net.overlay(self.home.parent / "own.yaml", places=places)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DGUNET_", "MLFLOW_"))}
        return kept | {
            "PYTHONPATH": str(self.code),
            "DGUNET_HOME": str(self.home),
            "DGUNET_SOURCES": str(overlay),
            "DGUNET_TRACKING": "off",
            "DGUNET_CACHE": str(self.home.parent / "notes"),
        }

    def start(self, *arguments, **places):
        """Start `dgunet campaign` in a process of its own, to be killed; returns the process."""
        return self._start(arguments, self.environment(**places))

    def _start(self, arguments, variables):
        return subprocess.Popen(
            [sys.executable, "-m", "dgunet", "campaign", "--probe-seconds", "0", *arguments],
            cwd=self.home,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments, status=0, seconds=900, **places):
        """Run `dgunet campaign` to its end; returns its output."""
        process = self._start(arguments, self.environment(**places) | self.warm)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.returncode == status, output[-4000:]
        return output

    def folder(self, name="released"):
        """The campaign's folder."""
        return self.home / "build" / "campaigns" / name

    def cells(self, name="released"):
        """Our cells by column and metric, of DGUNet."""
        cells = pd.read_parquet(self.folder(name) / "tables" / "cells.parquet")
        own = cells[cells["row"].str.startswith("DGUNet (") & (cells["source"] != "published")]
        return {(c["column"], c["metric"]): c for c in own.to_dict("records")}

    def cells_of_table_4(self, name="released"):
        """Our cells of DGUNet in Table 4, whose rows are sets and ratios."""
        cells = pd.read_parquet(self.folder(name) / "tables" / "table4.parquet")
        own = cells[cells["column"].str.startswith("DGUNet (") & (cells["source"] != "published")]
        return {(c["row"], c["metric"]): c for c in own.to_dict("records")}

    def ledger(self, name="released"):
        """Steps and events in the order of the ledger."""
        return [(entry.step, entry.event) for entry in Ledger(self.folder(name)).entries]

    def wait_for_rows(self, process, count):
        """Wait until an evaluation has written ``count`` rows to its journal."""
        for _ in range(6000):
            logs = list(self.home.glob(".dgunet/evaluations/*/*/*.jsonl"))
            if sum(path.read_bytes().count(b"\n") for path in logs) >= count:
                return
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.05)
        raise AssertionError("no rows")


def pairs_archive(name, count, size=16):
    """An archive with ``test/NAME/{input,target}`` of ``count`` pairs of noise."""
    noise, buffer = np.random.default_rng(count), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as handle:
        for number in range(1, count + 1):
            clean = noise.integers(0, 200, (size, size, 3), np.uint8)
            rainy = clean + noise.integers(0, 50, (size, size, 3), np.uint8)
            for half, image in (("input", rainy), ("target", clean)):
                file = io.BytesIO()
                Image.fromarray(image).save(file, "png")
                handle.writestr(f"test/{name}/{half}/{number}.png", file.getvalue())
    return buffer.getvalue()


def plain_place(**changes):
    """The place of the deraining test sets without the digest of the real archive."""
    place = {"kind": "google-drive-file", "id": DRIVE, "stated_by": ["a test"]}
    return {"restormer-rain-test": place | changes}
