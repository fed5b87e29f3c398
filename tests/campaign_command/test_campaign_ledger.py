"""The ledger of a campaign: what happened is on disk, and a kill loses at most one line."""

import pytest

from dgunet.campaign.ledger import Ledger
from dgunet.system.errors import DataError


def test_a_step_is_written_at_its_beginning_and_its_end(tmp_path):
    with Ledger(tmp_path).step("fetch Set11") as facts:
        assert [e.event for e in Ledger(tmp_path).entries] == ["begun"]
        facts["pairs"] = 11
    begun, done = Ledger(tmp_path).entries
    assert (begun.event, done.event, done.facts) == ("begun", "done", {"pairs": 11})
    assert done.seconds >= 0
    assert Ledger(tmp_path).last("fetch Set11").facts == {"pairs": 11}
    assert Ledger(tmp_path).last("fetch BSD68") is None


def test_a_failure_has_its_reason_and_is_not_the_last_success(tmp_path):
    ledger = Ledger(tmp_path)
    with pytest.raises(DataError), ledger.step("check Set11"):
        raise DataError("no Set11.", "Fetch it.")
    assert ledger.entries[-1].facts == {"reason": "no Set11."}
    assert ledger.last("check Set11") is None


def test_ctrl_c_is_written(tmp_path):
    ledger = Ledger(tmp_path)
    with pytest.raises(KeyboardInterrupt), ledger.step("check Set11"):
        raise KeyboardInterrupt
    assert Ledger(tmp_path).entries[-1].event == "interrupted"


def test_a_truncated_line_is_left_out_and_the_next_one_is_whole(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write("prepare Set11", "done", pairs=11)
    ledger.write("prepare BSD68", "done", pairs=68)
    ledger.path.write_bytes(ledger.path.read_bytes()[:-10])
    again = Ledger(tmp_path)
    assert [entry.step for entry in again.entries] == ["prepare Set11"]
    again.write("prepare BSD68", "done", pairs=68)
    assert [entry.step for entry in Ledger(tmp_path).entries] == ["prepare Set11", "prepare BSD68"]
