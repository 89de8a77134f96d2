"""Our modules as one file, so that a page needs one request for them instead of a hundred.

It is made while the server reads the console, as the style sheet is: the sources have no build step. A module becomes a
function that runs when something first imports from it, and gives what it exports.
"""

import re
from collections.abc import Mapping
from posixpath import dirname, join, normpath

IMPORT = re.compile(r'^import (?:(\w+)|\{ ([^}]+) \}) from "([^"]+)";$', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)
IMPORT_LATER = re.compile(r'\(\) => import\("([^"]+)"\)')
OTHER_FORM = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)

START = "const made = {};\nconst need = (name) => (made[name] ??= modules[name]());\nconst modules = {\n"


def bundle(sources: Mapping[str, str], entry: str) -> str:
    """sources: by path. entry: the module that runs at once. Raises ValueError for an import of another form."""
    packages: dict[str, str] = {}
    modules = {name: module(name, source, packages) for name, source in sources.items()}
    heads = "".join(f'import * as {name} from "{package}";\n' for package, name in packages.items())
    functions = "".join(f'"{name}": () => {{\n{body}}},\n' for name, body in modules.items() if name != entry)
    return f"{heads}{START}{functions}}};\n{modules[entry]}"


def module(name: str, source: str, packages: dict[str, str]) -> str:
    """packages: what other people's modules are called in the bundle; new ones are added."""

    def imported(found: "re.Match[str]") -> str:
        default, names, target = found.groups()
        wanted = f"default: {default}" if default else names.replace(" as ", ": ")
        return f"const {{ {wanted} }} = {given(target)};"

    def given(target: str) -> str:
        if not target.startswith("."):
            return packages.setdefault(target, f"package{len(packages)}")
        return f'need("{normpath(join(dirname(name), target))}")'

    body = IMPORT.sub(imported, source)
    body = IMPORT_LATER.sub(lambda found: f"async () => {given(found[1])}", body)
    exports = [exported for _, exported in EXPORT.findall(body)]
    body = EXPORT.sub(r"\1", body)
    if other := OTHER_FORM.search(body):
        raise ValueError(f"{name}: this form of import or export cannot be bundled: {other[0]}")
    return f"{body}return {{ {', '.join(exports)} }};\n" if exports else body
