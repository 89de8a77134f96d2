"""Characters that no text can hold cost neither the sample nor the process."""

import pytest

from fettle.rewards.sandbox import Limits, Sandbox

PRINTS = "def grade(sample, item):\n    print(chr(0xd800) + chr(0) + 'ä')\n    return 1.0"
RAISES = "def grade(sample, item):\n    raise ValueError(chr(0xdfff) + 'x')"


@pytest.mark.parametrize(("source", "value"), [(PRINTS, 1.0), (RAISES, None)], ids=["printed", "raised"])
def test_half_a_surrogate_pair_and_a_nul(source: str, value: float | None) -> None:
    sandbox = Sandbox(source, Limits(seconds=20))
    try:
        first, second = sandbox.grade([({}, {}), ({}, {})])
    finally:
        sandbox.close()
    for result in (first, second):
        assert result.value == value
        said = result.printed + (result.error or "")
        said.encode()
        assert "\0" not in said
    if value is None:
        assert "ValueError: \ufffdx" in (second.error or "")
    else:
        assert second.printed == "\ufffd\ufffdä\n"
