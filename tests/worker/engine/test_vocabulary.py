import json

from worker.engine.requests import Base


def test_a_token_is_shown_as_the_bytes_that_it_stands_for(base: Base) -> None:
    ids = base.renderer.tokenizer.encode("4 apples é😀", add_special_tokens=False).ids
    assert b"".join(base.vocabulary.raw(token) for token in ids) == "4 apples é😀".encode()
    assert base.vocabulary.raw(10**6) == b""
    assert json.dumps(list(base.vocabulary.raw(ids[-1])))
