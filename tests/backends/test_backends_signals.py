"""A process that used a backend still handles signals: a backend may replace their stack."""

import subprocess
import sys

import pytest

CODE = """
import gc, os, signal, sys, time
import torch
from dgunet.backends import on_backend
from dgunet.network import DGUNet, preset

network = DGUNet(preset("derain", n_feat=16, scale=4, last_width=4, stages=3)).eval()
with torch.inference_mode():
    on_backend(network, sys.argv[1])(torch.rand(1, 3, 16, 16))
gc.collect()
received = []
signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
for _ in range(2):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
print(len(received))
"""


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "ncnn"])
def test_signals_are_handled_after_an_inference(project, backend):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, backend],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["2"]), done.stderr[-2000:]
