from worker.jobs.stall_watch import StallWatch


def test_silence_is_a_warning_once_and_after_twice_as_long_the_end() -> None:
    watch = StallWatch(600, heard=1000)
    assert [watch.verdict(now) for now in (1599, 1600, 1700, 2199, 2200)] == [None, "warn", None, None, "end"]


def test_a_word_starts_it_afresh() -> None:
    watch = StallWatch(600, heard=0)
    assert watch.verdict(700) == "warn"
    watch.hear(1000)
    assert [watch.verdict(now) for now in (1500, 1600)] == [None, "warn"]


def test_it_says_how_long_nothing_was_heard() -> None:
    watch = StallWatch(600, heard=0)
    assert watch.sentence(1800) == "The training process has reported nothing for 30 minutes"
    assert watch.sentence(1) == "The training process has reported nothing for 1 second"
