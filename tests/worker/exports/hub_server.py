"""A hub for models, as much of it as huggingface_hub's client asks of it to commit a folder and to fetch files."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "a" * 40


@dataclass
class Hub:
    """files: of a repository, by path. token: that writes. reader: the token that reads; None: all may. given: what
    was downloaded."""

    url: str = ""
    token: str = "hf_writer"
    private: dict[str, bool] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    reader: str | None = None
    given: list[str] = field(default_factory=list)


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def answer(self, content: Any, status: int = 200) -> None:
            written = json.dumps(content).encode() if self.command != "HEAD" else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def do_PUT(self) -> None:
            sent = self.body()
            hub.objects[hashlib.sha256(sent).hexdigest()] = sent
            self.answer({})

        def do_POST(self) -> None:
            sent = self.body()
            if self.path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif self.headers.get("Authorization") != f"Bearer {hub.token}":
                self.answer({"error": "Invalid username or password."}, 401)
            elif self.path == "/api/repos/create":
                asked = json.loads(sent)
                name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
                hub.private[name] = asked["visibility"] == "private" if "visibility" in asked else asked["private"]
                hub.files.setdefault(name, {})
                self.answer({"url": f"{hub.url}/{name}", "name": name})
            elif self.path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**each, "actions": {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}}
                    for each in json.loads(sent)["objects"]
                ]
                self.answer({"transfer": "basic", "objects": objects})
            elif "/preupload/" in self.path:
                files = [
                    {
                        "path": each["path"],
                        "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                        "oid": None,
                    }
                    for each in json.loads(sent)["files"]
                ]
                self.answer({"files": files})
            elif "/commit/" in self.path:
                name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
                for line in sent.splitlines():
                    part = json.loads(line)
                    value = part["value"]
                    if part["key"] == "file":
                        hub.files[name][value["path"]] = base64.b64decode(value["content"])
                    elif part["key"] == "lfsFile":
                        hub.files[name][value["path"]] = hub.objects[value["oid"]]
                self.answer({"success": True, "commitOid": COMMIT, "commitUrl": f"{hub.url}/{name}/commit/{COMMIT}"})
            else:
                self.answer({"error": f"{self.path} is not there"}, 404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            """A model's page as `HfApi.model_info` reads it, and a file as `hf_hub_download` does."""
            if hub.reader and self.headers.get("Authorization") != f"Bearer {hub.reader}":
                self.answer({"error": "Invalid username or password."}, 401)
                return
            if self.path.startswith("/api/models/"):
                name, _, revision = self.path.removeprefix("/api/models/").partition("/revision/")
                if name in hub.files and revision in ("", "main", COMMIT):
                    listed = [{"rfilename": each} for each in sorted(hub.files[name])]
                    self.answer({"id": name, "sha": COMMIT, "private": False, "siblings": listed, "tags": []})
                    return
            name, _, rest = self.path.removeprefix("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            if revision != COMMIT or file not in hub.files.get(name, {}):
                self.answer({"error": f"{self.path} is not there"}, 404)
                return
            content = hub.files[name][file]
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                hub.given.append(file)
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
