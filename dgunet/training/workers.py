"""``torchrun`` for one node, whose exit status says how its processes ended.

    python -m dgunet.training.workers [torchrun's options] dgunet train ...

``torchrun`` itself ends with 1 whatever happened. Whoever started the node must tell a process
that wrote its checkpoint and asks to be started again (75) from one that was killed for its memory
(137). Who the other nodes are is told by options or by ``PET_...`` variables, as Kubeflow Trainer
sets them. Where ``DGUNET_PARENT`` names the process that started it, it ends when that one is gone;
its own processes end when it is gone, see `dgunet.system.parent_process`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from dgunet.system.parent_process import end_with_named_parent
from dgunet.training import RESUME

KILLED = 128 + signal.SIGKILL


def main(arguments: Sequence[str]) -> int:
    """Run the processes of this node; the exit status.

    Told to stop (SIGTERM), it passes that on and waits until the processes have written their
    checkpoint. The status is `RESUME` then, and 130 after Ctrl-C.
    """
    end_with_named_parent()
    try:
        options = run.parse_args(["--no-python", *arguments])  # type: ignore[no-untyped-call]
        run.run(options)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        print(f"dgunet: {_told(error)}", file=sys.stderr)
        return _status([failure.exitcode for failure in error.failures.values()])
    except SignalException as stop:
        return 130 if stop.sigval == signal.SIGINT else RESUME
    return 0


def _status(ends: Sequence[int]) -> int:
    """One status for several: killed comes first, then an error, then "go on later".

    SIGTERM is what ``torchrun`` sends to the others when one has failed.
    """
    if -signal.SIGKILL in ends:
        return KILLED
    errors = [end for end in ends if end not in (RESUME, -signal.SIGTERM)]
    if not errors:
        return RESUME if RESUME in ends else 128 + signal.SIGTERM
    return errors[0] if errors[0] > 0 else 128 - errors[0]


def _told(error: ChildFailedError) -> str:
    ends = sorted((rank, failure.exitcode) for rank, failure in error.failures.items())
    return "; ".join(f"process {rank} ended with status {code}" for rank, code in ends)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
