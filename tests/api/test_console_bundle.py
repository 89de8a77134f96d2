"""Our modules as one file: what a browser runs is what the sources say."""

import shutil
import subprocess

import pytest

from api.console import assets
from api.console.bundle import bundle

SOURCES = {
    "main.js": 'import { a as b } from "./parts/one.js";\nconst { Page } = await (() => import("./parts/two.js"))();\n'
    "console.log(b, await Page());\n",
    "parts/one.js": 'import path from "node:path";\nimport { join } from "node:path";\n'
    'export const a = join("x", path.sep);\n',
    "parts/two.js": 'import { a } from "../parts/one.js";\nexport async function Page() {\n  return new Two().a;\n}\n'
    "export class Two {\n  a = a;\n}\n",
}


def run(code: str) -> str:
    if (node := shutil.which("node")) is None:
        pytest.skip("there is no Node.js here")
    command = [node, "--input-type=module", "--eval", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_modules_import_from_each_other_and_from_packages() -> None:
    assert run(bundle(SOURCES, "main.js")) == "x/ x/\n"


def test_a_module_runs_once_and_only_when_it_is_needed() -> None:
    sources = {
        "main.js": 'import { a } from "./a.js";\nimport { b } from "./b.js";\nconsole.log(a + b);\n',
        "a.js": 'console.log("a");\nexport const a = 1;\n',
        "b.js": 'import { a } from "./a.js";\nexport const b = a;\n',
        "c.js": 'console.log("c");\nexport const c = 1;\n',
    }
    assert run(bundle(sources, "main.js")) == "a\n2\n"


@pytest.mark.parametrize("form", ['export * from "./a.js";', "export default 1;", 'import * as a from "./a.js";'])
def test_another_form_is_refused_with_its_file(form: str) -> None:
    with pytest.raises(ValueError, match=r"parts/a\.js: this form of import or export cannot be bundled: (ex|im)port"):
        bundle({"parts/a.js": form + "\n"}, "main.js")


def test_the_console_comes_in_one_file_of_ours_and_those_of_others_as_they_are() -> None:
    console = assets.load()
    scripts = {name for name in console.files if name.endswith(".js")}
    assert scripts == {"main.js", *(f"vendor/{path.name}" for path in (assets.FOLDER / "vendor").glob("*.js"))}
    for path in (assets.FOLDER / "pages").glob("*.js"):
        assert f'"pages/{path.name}": () => {{'.encode() in console.files["main.js"].body
