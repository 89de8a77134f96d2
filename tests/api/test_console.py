"""The console's files: all from this package, under a policy that runs nothing else, cached by their content."""

import base64
import gzip
import hashlib
import json
import re
import tomllib
from fnmatch import fnmatch

import pytest

from api.console import assets, paths
from api.edge import middleware
from tests.conftest import Api

OURS = [path for path in assets.sources() if "vendor" not in path.parts and path.suffix != ".jsonl"]
SCRIPTS = [path for path in OURS if path.suffix == ".js"]
VENDOR = assets.FOLDER / "vendor"
IMPORT = re.compile(r'^import\b[^"]*?"([^"]+)";$|import\("([^"]+)"\)', re.MULTILINE)
BARE = {"preact", "preact/hooks", "htm", "@preact/signals", "uplot"}
LINES_AT_MOST = 200


def name(path: object) -> str:
    return str(path).removeprefix(f"{assets.FOLDER}/")


class TestPage:
    async def test_everything_that_the_page_loads_is_there(self, api: Api) -> None:
        async with api.stranger() as http:
            page = await http.get("/")
            loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
            loaded += json.loads(assets.IMPORT_MAP.findall(page.text)[0])["imports"].values()
            assert any(path.endswith("/main.js") for path in loaded)
            for path in loaded:
                file = await http.get(path)
                assert file.status_code == 200, path
                assert file.headers["x-content-type-options"] == "nosniff"
                assert path.startswith("/console/") or path == "/session"

    async def test_all_styles_come_in_one_file(self, api: Api) -> None:
        version = assets.load().version
        async with api.stranger() as http:
            page = await http.get("/")
            styles = (await http.get(f"/console/{version}/console.css")).text
        assert re.findall(r'rel="stylesheet" href="([^"]+)"', page.text) == [f"/console/{version}/console.css"]
        for path in assets.FOLDER.rglob("*.css"):
            assert path.read_text() in styles, path.name

    async def test_the_policy_allows_no_inline_code_but_the_import_map(self, api: Api) -> None:
        async with api.stranger() as http:
            page = await http.get("/")
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        (inline,) = re.findall(r"<script(?![^>]*src=)[^>]*>(.*?)</script>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
        assert " style=" not in page.text
        assert page.headers["referrer-policy"] == "no-referrer"

    async def test_a_browser_that_has_the_page_gets_no_second_copy(self, api: Api) -> None:
        async with api.stranger() as http:
            first = await http.get("/")
            again = await http.get("/", headers={"if-none-match": first.headers["etag"]})
        assert first.headers["cache-control"] == "no-cache"
        assert (again.status_code, again.content) == (304, b"")


BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class TestTypedPaths:
    @pytest.mark.parametrize("path", ["/" + "/".join(pattern) for pattern in paths.PATTERNS])
    async def test_a_path_without_the_hash_leads_to_its_page(self, api: Api, path: str) -> None:
        typed = path.replace(":name", "ft:starter:acme::x1").replace(":id", "a-1").replace(":lesson", "dpo")
        async with api.stranger() as http:
            answer = await http.get(typed, headers=BROWSER)
            slash = await http.get(f"{typed}/?models=a%20b", headers=BROWSER)
        assert (answer.status_code, answer.headers["location"]) == (307, f"/#{typed}")
        assert slash.headers["location"] == f"/#{typed}?models=a%20b"

    @pytest.mark.parametrize("path", ["/learn", "/jobs", "/v1/models", "/models", "/v1/fine_tuning/jobs"])
    async def test_a_program_gets_an_error_of_the_api(self, api: Api, path: str) -> None:
        async with api.stranger() as http:
            answer = await http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")

    @pytest.mark.parametrize("path", ["/v1/models", "/sign-in/token", "/nowhere", "/learn/a/b", "/jobs//"])
    async def test_what_is_no_page_is_not_redirected(self, api: Api, path: str) -> None:
        async with api.stranger() as http:
            answer = await http.get(path, headers=BROWSER)
            sent = await http.post("/jobs", headers=BROWSER)
        assert answer.status_code in (401, 404)
        assert sent.status_code == 401

    async def test_what_is_typed_stays_within_the_server(self, api: Api) -> None:
        async with api.stranger() as http:
            answer = await http.get("/models/%0d%0aset-cookie:a=b", headers=BROWSER)
        assert answer.headers["location"] == "/#/models/%0D%0Aset-cookie:a%3Db"
        assert "set-cookie" not in answer.headers

    def test_no_route_of_the_api_is_hidden(self, api: Api) -> None:
        firsts = {pattern[0] for pattern in paths.PATTERNS}
        assert {route.split("/")[1] for route in api.app.openapi()["paths"]} & firsts == set()
        assert not {path.split("/")[1] for path in middleware.OPEN_PATHS if path != "/"} & firsts


class TestFiles:
    async def test_a_file_of_this_version_is_kept_for_ever(self, api: Api) -> None:
        version = assets.load().version
        async with api.stranger() as http:
            now = await http.get(f"/console/{version}/main.js")
            before = await http.get("/console/0123456789abcdef/main.js")
        assert "immutable" in now.headers["cache-control"]
        assert before.content == now.content
        assert before.headers["cache-control"] == "no-cache"

    async def test_files_are_sent_compressed(self, api: Api) -> None:
        async with (
            api.stranger() as http,
            http.stream("GET", "/console/x/vendor/uplot.js", headers={"accept-encoding": "gzip"}) as response,
        ):
            packed = b"".join([part async for part in response.aiter_raw()])
        assert response.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed) == (VENDOR / "uplot.js").read_bytes()
        assert len(packed) < 60_000

    @pytest.mark.parametrize("path", ["assets.py", "__init__.py", "index.html", "..%2fapp.py", "vendor/versions.json"])
    async def test_nothing_else_of_the_folder_is_shown(self, api: Api, path: str) -> None:
        async with api.stranger() as http:
            answer = await http.get(f"/console/x/{path}")
        assert answer.status_code in (401, 404)

    def test_another_content_is_another_version(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = assets.load().version
        monkeypatch.setattr(assets, "KINDS", {".js": "text/javascript", ".css": "text/css"})
        assert assets.load().version != before


class TestShipping:
    def test_the_wheel_and_the_images_take_the_folder_whole(self) -> None:
        root = assets.FOLDER.parent.parent
        hatch = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert "api" in hatch["packages"]
        assert not {"exclude", "include", "only-include"} & set(hatch)
        assert "COPY api api" in (root / "Dockerfile").read_text()
        ignored = [line for line in (root / ".gitignore").read_text().splitlines() if line and line[0] != "#"]
        files = [str(path.relative_to(root)) for path in assets.FOLDER.rglob("*") if "__pycache__" not in path.parts]
        left_out = [
            file
            for file in files
            for line in ignored
            if any(fnmatch(part, line.strip("/")) for part in file.split("/"))
        ]
        assert left_out == []
        assert "api/console/parts/shell.js" in files


class TestVendor:
    """Other people's code: as published, with version, licence and hash."""

    VERSIONS = json.loads((VENDOR / "versions.json").read_text())

    def test_every_file_is_listed(self) -> None:
        files = {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
        assert files == set(self.VERSIONS)

    @pytest.mark.parametrize("file", sorted(VERSIONS))
    def test_a_file_is_the_published_one(self, file: str) -> None:
        entry = self.VERSIONS[file]
        assert hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() == entry["sha256"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
        licence = (VENDOR / entry["licence_file"]).read_text()
        assert {"MIT": "Permission is hereby granted", "Apache-2.0": "Apache License"}[entry["licence"]] in licence


class TestOurScripts:
    @pytest.mark.parametrize("path", SCRIPTS, ids=name)
    def test_every_import_leads_to_a_file(self, path: object) -> None:
        assert hasattr(path, "read_text")
        for one, other in IMPORT.findall(path.read_text()):
            target = one or other
            if target.startswith("."):
                assert (path.parent / target).resolve().is_file(), target  # type: ignore[attr-defined]
            else:
                assert target in BARE

    @pytest.mark.parametrize("path", OURS, ids=name)
    def test_a_file_is_short(self, path: object) -> None:
        assert hasattr(path, "read_text")
        assert len(path.read_text().splitlines()) < LINES_AT_MOST

    @pytest.mark.parametrize(
        "word", ["innerHTML", "dangerouslySetInnerHTML", "eval(", "new Function", "document.write"]
    )
    def test_no_text_becomes_markup_or_code(self, word: str) -> None:
        assert [name(path) for path in SCRIPTS if word in path.read_text()] == []

    def test_nothing_comes_from_another_host(self) -> None:
        addresses = re.compile(r"https?://(?!www\.w3\.org|127\.0\.0\.1|localhost)")
        assert [name(path) for path in OURS if addresses.search(path.read_text())] == []
