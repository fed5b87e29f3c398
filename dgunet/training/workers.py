"""``torchrun`` for one node, with an exit status that shows how its processes ended.

    python -m dgunet.training.workers [torchrun's options] dgunet train ...

``torchrun`` itself exits with 1 for every failure. The caller must distinguish processes that wrote
a checkpoint and can be resumed (75), or that lost the others (76), from processes that were killed
for lack of memory (137).
Options or the ``PET_...`` variables of Kubeflow Trainer describe the other nodes. If
``DGUNET_PARENT`` contains the id of the process that started this one, this process ends when that
one ends, and its own processes end with it; see `dgunet.system.parent_process`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from torch.distributed import DistError, run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError

from dgunet.system.parent_process import end_with_named_parent
from dgunet.training.stopping import LOST, RESUME

KILLED = 128 + signal.SIGKILL


def main(arguments: Sequence[str]) -> int:
    """Run the processes of this node and return the exit status.

    SIGTERM is forwarded to the processes, which write a checkpoint before they end. The status is
    `RESUME` after SIGTERM, `LOST` if the other nodes are gone, and 130 after Ctrl-C.
    """
    end_with_named_parent()
    try:
        options = run.parse_args(["--no-python", *arguments])  # type: ignore[no-untyped-call]
        run.run(options)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        print(f"dgunet: {_summary(error)}", file=sys.stderr)
        return _exit_status([failure.exitcode for failure in error.failures.values()])
    except SignalException as stop:
        return 130 if stop.sigval == signal.SIGINT else RESUME
    except (DistError, RendezvousError) as error:  # the node with the store ended or never came
        print(f"dgunet: error: this node lost the others: {error}", file=sys.stderr)
        return LOST
    return 0


def _exit_status(statuses: Sequence[int]) -> int:
    """Return one status for all processes: of the cause and not of its consequences.

    That is the status of a killed process first, then of an error, then `RESUME`, then `LOST`.
    ``torchrun`` ends the other processes with SIGTERM when one fails.
    """
    if -signal.SIGKILL in statuses:
        return KILLED
    errors = [status for status in statuses if status not in (RESUME, LOST, -signal.SIGTERM)]
    if not errors:
        return next((each for each in (RESUME, LOST) if each in statuses), 128 + signal.SIGTERM)
    return errors[0] if errors[0] > 0 else 128 - errors[0]


def _summary(error: ChildFailedError) -> str:
    ends = sorted((rank, failure.exitcode) for rank, failure in error.failures.items())
    return "; ".join(f"process {rank} ended with status {code}" for rank, code in ends)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
