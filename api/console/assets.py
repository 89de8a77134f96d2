"""The console's files, read once: bodies as they are and gzipped, under a path that changes with their content."""

import base64
import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from api.console.bundle import bundle

FOLDER = Path(__file__).parent
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".jsonl": "application/jsonl"}
IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
ENTRY = "main.js"
VENDOR = "vendor/"  # other people's modules: each as it was published
SHEETS = ("tokens", "base", "shell", "parts", "lists", "people", "learn")  # in this order, after other people's


@dataclass(frozen=True)
class Content:
    kind: str
    body: bytes
    packed: bytes  # gzip

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


@dataclass(frozen=True)
class Console:
    """version: of all files together. policy: the page's Content-Security-Policy."""

    version: str
    page: Content
    policy: str
    files: dict[str, Content]
    newest: float  # when a file last changed


def content(kind: str, body: bytes) -> Content:
    return Content(f"{kind}; charset=utf-8", body, gzip.compress(body, mtime=0))


def sources() -> list[Path]:
    return sorted(path for path in FOLDER.rglob("*") if path.suffix in KINDS)


def newest_change() -> float:
    return max(path.stat().st_mtime for path in [*sources(), FOLDER / "index.html"])


def load() -> Console:
    files = {str(path.relative_to(FOLDER)): content(KINDS[path.suffix], path.read_bytes()) for path in sources()}
    scripts = [name for name in files if name.endswith(".js") and not name.startswith(VENDOR)]
    ours = bundle({name: files.pop(name).body.decode() for name in scripts}, ENTRY)
    files[ENTRY] = content(KINDS[".js"], ours.encode())
    styles = b"\n".join(files[name].body for name in ("vendor/uplot.css", *(f"styles/{sheet}.css" for sheet in SHEETS)))
    files["console.css"] = content(KINDS[".css"], styles)  # one file: the first paint waits for it
    whole = hashlib.sha256((FOLDER / "index.html").read_bytes())
    for name, each in files.items():
        whole.update(f"{name}\0{len(each.body)}\0".encode() + each.body)
    version = whole.hexdigest()[:16]
    base = f"/console/{version}"
    first = [name for name in files if name.endswith(".js")]  # at once, not import after import
    heads = [f'<link rel="modulepreload" href="{base}/{name}">' for name in first]
    page = (FOLDER / "index.html").read_text().replace("{base}", base).replace("{preloads}", "\n".join(heads))
    return Console(version, content("text/html", page.encode()), policy(page), files, newest_change())


def policy(page: str) -> str:
    """Scripts come from our own files, and from the import map by its hash. No string becomes code or HTML."""
    (import_map,) = IMPORT_MAP.findall(page)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
