from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from worker.engine.text import TextStream, overlap

RENDERER = Renderer(STARTER)


def ids_of(text: str) -> list[int]:
    return list(RENDERER.tokenizer.encode(text, add_special_tokens=False).ids)


def pieces(ids: Sequence[int], stops: Sequence[str] = ()) -> list[str]:
    stream = TextStream(RENDERER.decode, stops)
    given = []
    for token in ids:
        given.append(stream.push(token))
        if stream.stopped:
            return given
    return [*given, stream.finish()]


@pytest.mark.parametrize("text", ["naïve", "20 €", "漢字とかな", "a😀b", "👩‍👩‍👧 family", "e\u0301"])
def test_a_character_of_several_tokens_comes_out_whole(text: str) -> None:
    ids = ids_of(text)
    assert any(len(ids_of(character)) > 1 for character in text)
    given = pieces(ids)
    assert "".join(given) == text
    assert not any("\ufffd" in piece for piece in given)


def test_a_character_that_the_last_token_leaves_half_is_shown_as_half() -> None:
    ids = ids_of("a😀")[:-1]
    given = pieces(ids)
    assert given[0] == "a"
    assert set(given[1:-1]) == {""}
    assert given[-1] == RENDERER.decode(ids)[1:] == "\ufffd"


@given(st.lists(st.integers(0, RENDERER.tokenizer.get_vocab_size() - 1), max_size=40))
def test_all_pieces_together_are_the_whole_text_whatever_the_tokens(ids: list[int]) -> None:
    assert "".join(pieces(ids)) == RENDERER.decode(ids)


@given(st.text(st.sampled_from("ab€"), max_size=30), st.lists(st.text(st.sampled_from("ab€"), min_size=1, max_size=4)))
def test_text_ends_before_the_first_stop_string_and_no_piece_shows_its_beginning(text: str, stops: list[str]) -> None:
    given = pieces([token for character in text for token in ids_of(character)], stops)
    # Characters come one by one, so the stop string that is complete first counts; of two, the longer begins first
    met = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert "".join(given) == (text[: min(met)[1]] if met else text)


def test_the_beginning_of_a_stop_string_is_held_back_until_it_is_none() -> None:
    stream = TextStream(RENDERER.decode, ["XYZ"])
    given = [stream.push(token) for character in "aXYbX" for token in ids_of(character)]
    assert given == ["a", "", "", "XYb", ""]
    assert stream.finish() == "X"
    assert not stream.stopped


def test_a_stop_string_inside_one_token_cuts_the_token() -> None:
    stream = TextStream(lambda ids: "".join(["Hello. World"] * len(ids)), [". "])
    assert stream.push(0) == "Hello"
    assert stream.stopped


def test_special_tokens_give_no_text() -> None:
    assert pieces([*ids_of("4"), RENDERER.pad_id, *ids_of("2")]) == ["4", "", "2", ""]


@pytest.mark.parametrize(
    ("text", "stop", "size"), [("ab", "bc", 1), ("aab", "ab", 2), ("abab", "abac", 2), ("x", "y", 0)]
)
def test_the_overlap_is_the_longest(text: str, stop: str, size: int) -> None:
    assert overlap(text, stop) == size
