"""Ctrl-C ends `dgunet demo` in the middle of a restoration; nothing is left behind."""

import signal

import numpy as np
import pytest
from demo_server import events, payload, save, upload

pytestmark = pytest.mark.xdist_group("demo")


def test_ctrl_c_ends_a_restoration_and_leaves_nothing(demo, photo, tmp_path):
    save(np.tile(photo, (5, 5, 1)), tmp_path / "large.png")
    path = upload(demo, "large.png", (tmp_path / "large.png").read_bytes())
    for event in events(demo, payload(path)):
        assert event["msg"] != "process_completed", "too small to be interrupted"
        if event["msg"] == "progress":
            break
    code, out, err = demo.stop(signal.SIGINT)
    assert (code, out) == (0, "stopped; the uploaded and the restored images were removed\n")
    assert list(demo.temporary.iterdir()) == []
    # Gradio prints the errors of requests that it refuses itself, which no page sends.
    assert "/dgunet/" not in err and "uvicorn" not in err and "Stopped" not in err, err
