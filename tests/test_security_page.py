from tests import security_page


def test_the_security_page_lists_every_scope_route_and_quota() -> None:
    page = security_page.PAGE.read_text()
    assert page == security_page.renewed(page), "run: python -m tests.security_page"


def test_a_page_that_lags_behind_is_found() -> None:
    page = security_page.PAGE.read_text()
    assert security_page.renewed(page.replace("| `chat` |", "| `talk` |")) == page
