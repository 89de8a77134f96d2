import sys

from fettle.host import routes


def test_the_loopback_interface_leads_to_this_machine() -> None:
    assert routes.own_address("127.0.0.1") == "127.0.0.1"


def test_an_interface_is_found_by_its_address_on_linux() -> None:
    assert routes.interface("127.0.0.1") == ("lo" if sys.platform == "linux" else None)
    assert routes.interface("203.0.113.7") is None
