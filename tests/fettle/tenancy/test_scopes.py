import pytest

from fettle.errors import Forbidden, InvalidRequest
from fettle.tenancy import scopes


@pytest.mark.parametrize(
    ("held", "wanted", "lacks"),
    [
        (["chat"], ["chat"], []),
        (["chat"], ["files.read", "chat", "jobs.read"], ["files.read", "jobs.read"]),
        (["all"], ["files.read", "keys.write", "all"], []),
        (["all"], ["admin"], ["admin"]),
        (["admin"], ["chat", "all"], ["chat", "all"]),
        (["all", "admin"], list(scopes.SCOPES), []),
        ([name for name in scopes.SCOPES if name not in ("all", "admin")], ["all"], ["all"]),
        ([], ["chat"], ["chat"]),
    ],
)
def test_what_a_key_lacks(held: list[str], wanted: list[str], lacks: list[str]) -> None:
    assert scopes.missing(held, wanted) == lacks


def test_a_missing_scope_is_named_with_what_there_is() -> None:
    with pytest.raises(Forbidden, match=r"lacks the scope 'chat' \(it has: files.read, jobs.read\)"):
        scopes.need(["files.read", "jobs.read"], "chat")


def test_scopes_are_kept_once_and_in_order() -> None:
    assert scopes.checked(["chat", "files.read", "chat"]) == ["chat", "files.read"]


@pytest.mark.parametrize(("wanted", "names"), [(["chat", "nope"], "'nope'"), ([], "at least one")])
def test_a_scope_that_does_not_exist_is_refused(wanted: list[str], names: str) -> None:
    with pytest.raises(InvalidRequest, match=names):
        scopes.checked(wanted)
