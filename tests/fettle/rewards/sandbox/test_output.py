"""What a guest says about a sample: the host cuts it, and no character of it costs the sample."""

import shutil

import pytest

from fettle.rewards.sandbox import Limits, LoadError, Sandbox

QUICK = Limits(seconds=3.0, memory_bytes=1 << 30)
FORGED = """
import json
def grade(sample, item):
    json.dumps = lambda *a, **k: {body}
    return 0.0
"""
SURROGATES = {
    "python": 'def grade(sample, item):\n    print(chr(0xd800) + "\\0"); return 1.0',
    "javascript": 'function grade(sample, item) { console.log("\\ud800\\0"); return 1.0; }',
}


@pytest.mark.parametrize("language", SURROGATES)
def test_a_lone_surrogate_and_a_nul_in_the_output_do_not_cost_the_sample(language: str) -> None:
    if language == "javascript" and shutil.which("node") is None:
        pytest.skip("there is no Node.js here")
    with Sandbox(SURROGATES[language], QUICK, language=language) as sandbox:
        guest = sandbox.guest
        (result,) = sandbox.grade([({}, {})])
        assert sandbox.guest is guest  # the process goes on
    assert (result.value, result.printed) == (1.0, "��\n")


def test_a_lone_surrogate_in_an_error_leaves_the_error_readable() -> None:
    with Sandbox("def grade(sample, item):\n    raise ValueError('why ' + chr(0xdc00) + '\\0')", QUICK) as sandbox:
        (result,) = sandbox.grade([({}, {})])
    assert result.error is not None
    assert result.error.endswith("ValueError: why ��\n")


def test_a_guest_that_does_not_cut_is_cut_by_the_host() -> None:
    forged = FORGED.format(body="'{\"value\": 1.0, \"printed\": \"' + 'A' * 600000 + '\"}'")
    with Sandbox(forged, QUICK) as sandbox:
        (result,) = sandbox.grade([({}, {})])
    assert result.value == 1.0
    assert result.printed == "A" * 4096 + "… (595,904 more characters)"


def test_errors_and_names_of_types_are_cut_by_the_host() -> None:
    for body in ("'{\"error\": \"' + 'A' * 600000 + '\"}'", "'{\"value\": {\"type\": \"' + 'A' * 600000 + '\"}}'"):
        with Sandbox(FORGED.format(body=body), QUICK) as sandbox:
            (result,) = sandbox.grade([({}, {})])
        assert result.value is None
        assert result.error is not None
        assert len(result.error) <= 4000


@pytest.mark.parametrize("body", ["'{\"value\": ' + '9' * 4000 + '}'", "'[' * 900000", "'[1]'", "'{\"value\": NaN}'"])
def test_a_result_that_cannot_be_read_costs_one_sample_only(body: str) -> None:
    with Sandbox(FORGED.format(body=body), QUICK) as sandbox:
        (result,) = sandbox.grade([({}, {})])
    assert result.value is None
    assert result.error == "The grader's process ended: it sent an invalid result"


def test_a_result_of_more_than_a_mebibyte_is_not_read() -> None:
    with Sandbox(FORGED.format(body="'A' * 2_000_000"), QUICK) as sandbox:
        (result,) = sandbox.grade([({}, {})])
    assert result.error == "The grader's process ended: it sent a result of 2,000,000 bytes"


def test_an_error_while_loading_is_cut() -> None:
    with pytest.raises(LoadError) as raised:
        Sandbox("raise ValueError('\\0' * 99999)", QUICK)
    assert len(str(raised.value)) < 4100
    assert "\0" not in str(raised.value)


def test_a_guest_that_names_another_function_while_loading_is_not_used() -> None:
    forged = 'import json\njson.dumps = lambda *a, **k: \'{"value": "other"}\'\ndef grade(sample, item): return 0.0'
    with pytest.raises(LoadError, match="it sent an invalid result"):
        Sandbox(forged, QUICK)
