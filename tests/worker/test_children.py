import signal

from worker.children import describe_exit
from worker.training.channel import LOST_RANK


def test_an_exit_is_described_by_its_signal_and_likely_cause() -> None:
    assert describe_exit(-signal.SIGKILL).startswith(
        "The training process was killed by SIGKILL (often: the machine ran"
    )
    assert describe_exit(-signal.SIGSEGV) == "The training process was killed by SIGSEGV"
    assert describe_exit(LOST_RANK).endswith("one of the processes that trained the job together died")
    assert describe_exit(3) == "The training process ended with exit code 3 before it was done"
