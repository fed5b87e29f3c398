"""Messages of the library appear on standard error once."""

import io
import logging
import sys

from dgunet.system import logs


def test_messages_go_to_the_current_stderr_once(monkeypatch):
    logs.log_to_stderr()
    logs.log_to_stderr()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log = logging.getLogger("dgunet.tracking.run")
    log.info("sent %d of %d runs", 1, 2)
    log.debug("not shown")
    assert stream.getvalue() == "dgunet: sent 1 of 2 runs\n"


def test_a_closed_stream_does_not_raise(monkeypatch):
    logs.log_to_stderr()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    logging.getLogger("dgunet").warning("nobody reads this")
