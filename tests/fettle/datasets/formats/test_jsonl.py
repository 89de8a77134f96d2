import json
import random
from io import BytesIO
from typing import Any

import orjson
import pytest

from fettle.datasets.formats import jsonl
from fettle.datasets.formats.problems import RowProblem
from tests.fettle.datasets.formats.given import GOOD, line


def read(content: bytes) -> list[jsonl.Line]:
    return list(jsonl.read(BytesIO(content), 10_000))


class TestRead:
    def test_rows_come_with_their_line_numbers(self) -> None:
        assert read(b'{"a": 1}\n{"b": 2}\r\n{"c": 3}') == [
            (1, {"a": 1}, []),
            (2, {"b": 2}, []),
            (3, {"c": 3}, []),
        ]

    def test_a_file_of_many_blocks_gives_every_row_once(self) -> None:
        rows = [{"n": n, "text": "x" * (n % 300)} for n in range(5000)]
        content = b"".join(map(line, rows))
        assert len(content) > 20 * jsonl.BLOCK
        assert read(content) == [(number, row, []) for number, row in enumerate(rows, 1)]

    def test_a_line_of_the_block_size_is_whole(self) -> None:
        rows = [{"text": "x" * (jsonl.BLOCK + n)} for n in range(-20, 0)]
        file = BytesIO(b"".join(map(line, rows)))
        assert [row for _, row, _ in jsonl.read(file, 2 * jsonl.BLOCK)] == rows

    @pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n \n", b"\n" * 1000])
    def test_blank_lines_at_the_end_are_no_lines(self, end: bytes) -> None:
        assert read(GOOD.rstrip() + end) == [(1, json.loads(GOOD), [])]

    def test_a_thousand_blank_lines_end_a_file_but_not_more(self) -> None:
        found = read(GOOD + b"\n" * 1001)
        assert found[1:] == [(number, None, [RowProblem("", "blank_line")]) for number in range(2, 1003)]

    @pytest.mark.parametrize("blank_at_the_end", [0, 1, 2])
    def test_blank_lines_before_a_row_are_found_across_blocks(self, blank_at_the_end: int) -> None:
        empty = line({"text": ""})
        first = line({"text": "x" * (jsonl.BLOCK - blank_at_the_end - len(empty))})
        assert len(first) + blank_at_the_end == jsonl.BLOCK
        file = BytesIO(first + b"\n\n" + GOOD)
        found = [(number, row is None) for number, row, _ in jsonl.read(file, 2 * jsonl.BLOCK)]
        assert found == [(1, False), (2, True), (3, True), (4, False)]

    def test_a_carriage_return_or_line_separator_ends_no_line(self) -> None:
        content = '{"a":\r1,\r"b": "x\u2028\x85y"}\n'.encode()
        assert read(content) == [(1, {"a": 1, "b": "x\u2028\x85y"}, [])]

    def test_a_row_broken_over_two_lines_is_not_glued_together(self) -> None:
        found = read(b'{"a": [{"b": 1}\n{"c": 2}]},{"d": 1}\n')
        assert [(number, row, len(findings)) for number, row, findings in found] == [(1, None, 1), (2, None, 1)]


class TestRepeatedKeys:
    @pytest.mark.parametrize(
        "text",
        [
            '{"a": ":", "b": "a\\":1"}',
            '{"a": "\\"a\\": 1, \\"a\\": 2"}',
            '{"a\\\\": 1, "b": "\\\\\\""}',
            '{"a" : 1,\t"b"\t:\r2,   "":  3}',
            '{"a": "\\u0022", "b\\u0022": "\\\\u0022"}',
            '{"a": "\\u00e9\\u00e9", "b": "é"}',
            '{"a": {"a": {"a": [{"a": 1}, {"a": 2}]}}}',
            '{"a": "\\\\u0000"}',
        ],
    )
    def test_a_row_without_one_passes_however_it_is_spelled(self, text: str) -> None:
        assert jsonl.read_line(text.encode(), 1000) == (json.loads(text), [])

    @pytest.mark.parametrize(
        "text",
        [
            '{"a": 1, "a": 1}',
            '{"a": 1, "\\u0061": 1}',
            '{"a\\"": 1, "a\\u0022": 1}',
            '{"x": "\\u0022\\u0022", "a": 1, "a": 1}',
            '{"x": "\\u0022\\u0022\\u0022\\u0022", "a": "", "a": 1}',
            '{"x": [{"": 1, "": 1}]}',
            '{"a"\t :\r1,"a" : 2}',
        ],
    )
    def test_a_row_with_one_is_found_however_it_is_spelled(self, text: str) -> None:
        _, findings = jsonl.read_line(text.encode(), 1000)
        assert [row_problem.code for row_problem in findings] == ["duplicate_key"]

    def test_random_rows_are_judged_as_a_reader_of_pairs_judges_them(self) -> None:
        rng = random.Random(7)
        seen = {True: 0, False: 0}
        for _ in range(4000):
            text = spell(rng, depth=3)
            repeated: list[bool] = []

            def note(pairs: list[tuple[str, Any]], repeated: list[bool] = repeated) -> dict[str, Any]:
                repeated.append(len(dict(pairs)) < len(pairs))
                return dict(pairs)

            json.loads(text, object_pairs_hook=note)
            row, findings = jsonl.read_line(text.encode(), 100_000)
            assert bool(findings) == any(repeated), text
            assert row == orjson.loads(text)
            block = (text + "\n" + text).encode()
            assert (jsonl.read_block(block, block.split(b"\n"), 100_000) is not None) == (not findings), text
            seen[any(repeated)] += 1
        assert min(seen.values()) > 300


def spell(rng: random.Random, depth: int) -> str:
    """An object in JSON, with keys that may repeat, odd spaces and several spellings of each character."""

    def space() -> str:
        return rng.choice(["", "", "", " ", "  ", "\t", "\r"])

    def string() -> str:
        spellings = {"a": ["a", "\\u0061"], '"': ['\\"', "\\u0022"], "\\": ["\\\\", "\\u005c"], ":": [":"], "é": ["é"]}
        return '"' + "".join(rng.choice(spellings[rng.choice('a":\\é')]) for _ in range(rng.randrange(3))) + '"'

    def value(depth: int) -> str:
        kind = rng.randrange(5 if depth else 3)
        if kind == 3:
            return "[" + ",".join(value(depth - 1) for _ in range(rng.randrange(3))) + "]"
        if kind == 4:
            return spell(rng, depth - 1)
        return [string(), "1.5e1", "null"][kind]

    pairs = [f"{space()}{string()}{space()}:{space()}{value(depth)}{space()}" for _ in range(rng.randrange(1, 4))]
    return "{" + ",".join(pairs) + "}"


class TestDepth:
    @pytest.mark.parametrize(("depth", "too_deep"), [(254, False), (255, True), (1024, True), (5000, True)])
    def test_254_levels_pass_and_not_one_more(self, depth: int, too_deep: bool) -> None:
        text = b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
        row, findings = jsonl.read_line(text, 100_000)
        assert [row_problem.code for row_problem in findings] == ["too_deep"] * too_deep
        assert row is not None or too_deep

    def test_a_wide_row_is_not_deep(self) -> None:
        wide: jsonl.Row = {"a": [{"b": []} for _ in range(1000)]}
        assert jsonl.read_line(json.dumps(wide).encode(), 100_000) == (wide, [])


class TestLongNumbers:
    @pytest.mark.parametrize("number", [0, -1, 2**63, 2**64 - 1, -(2**63), 1e300])
    def test_one_that_is_kept_as_it_is_passes(self, number: float) -> None:
        row = {"prompt": "0" * 30, "id": number, "digits": "1" * 40}  # long digits in texts are no numbers
        ((_, got, found),) = read(line(row))
        assert (got, found) == (row, [])
        assert got is not None and type(got["id"]) is type(number)

    @pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**300])
    def test_one_that_would_be_rounded_does_not(self, number: int) -> None:
        ((_, _, found),) = read(b'{"prompt": "x", "ids": [1, {"of": %d}]}\n' % number)
        assert found == [RowProblem("ids[1].of", "number_too_long")]
