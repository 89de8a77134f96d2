import time

import pytest

from worker.supervisor import finish_time


class TestFinishTime:
    def test_the_pace_is_that_since_the_first_step_seen(self) -> None:
        # resumed at step 900, 20 steps in 10 s: the 80 that are left take 40 s
        assert finish_time((900, 100.0), (920, 110.0), 1000) == pytest.approx(time.time() + 40, abs=1)

    def test_one_step_has_no_pace_yet(self) -> None:
        assert finish_time((1, 100.0), (1, 100.0), 1000) is None
        assert finish_time(None, (0, 100.0), 0) is None
