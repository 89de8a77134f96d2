from pathlib import Path

from deploy import pip_settings

LISTED = """\
:env:.cert='/etc/ca.pem'
:env:.disable-pip-version-check='1'
global.cert='/etc/older.pem'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.index-url='https://user:password@packages.example/simple?a=b'
freeze.timeout='10'
"""


def test_a_variable_goes_before_a_file_and_what_names_no_source_is_left_out() -> None:
    assert pip_settings.parse(LISTED) == {
        "cert": "/etc/ca.pem",
        "extra-index-url": "https://one.example/simple https://two.example/simple",
        "index-url": "https://user:password@packages.example/simple?a=b",
    }


def test_the_file_is_one_that_pip_reads() -> None:
    assert pip_settings.conf({"index-url": "https://a.example", "no-index": "true"}) == (
        "[global]\nindex-url = https://a.example\nno-index = true\n"
    )


def test_files_and_folders_of_this_host_are_found_with_what_lies_beside_an_index(tmp_path: Path) -> None:
    index, wheels, cert = tmp_path / "a b" / "simple", tmp_path / "wheels", tmp_path / "ca.pem"
    index.mkdir(parents=True)
    wheels.mkdir()
    cert.touch()
    options = {
        "extra-index-url": f"https://one.example/simple file://{str(index).replace(' ', '%20')}",
        "find-links": f"{wheels} {tmp_path / 'absent'}",
        "cert": str(cert),
    }
    assert pip_settings.local_paths(options) == sorted([index, index.parent, wheels, cert])


def test_pip_itself_is_asked() -> None:
    assert set(pip_settings.read()) <= set(pip_settings.TAKEN)
