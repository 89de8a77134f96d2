"""A store that fails on demand: HTTP in front of the S3 test server, which refuses, or does something at a moment."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

REFUSAL = b"<Error><Code>ServiceUnavailable</Code><Message>Please reduce your request rate.</Message></Error>"
OWN_HEADERS = {"connection", "content-length", "transfer-encoding", "date", "server"}


class Proxy:
    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.away = False
        self.refused = 0
        self.hook: Callable[[str, str], None] | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Every request is answered with 503."""
        self.away, self.refused = True, 0
        yield
        self.away = False

    @contextmanager
    def when_stored(self, ending: str, action: Callable[[], None]) -> Iterator[threading.Event]:
        """`action` runs once, when an object whose key ends so is stored and before the client hears of it."""
        done, lock = threading.Event(), threading.Lock()

        def hook(method: str, path: str) -> None:
            with lock:
                if method == "PUT" and path.split("?")[0].endswith(ending) and not done.is_set():
                    action()
                    done.set()

        self.hook = hook
        yield done
        self.hook = None

    def handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def body(self) -> bytes:
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                content = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    content += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return content

            def forward(self) -> None:
                body = self.body()
                if proxy.away:
                    proxy.refused += 1
                    return self.answer(503, [("Content-Type", "application/xml")], REFUSAL)
                upstream = http.client.HTTPConnection(proxy.upstream, timeout=30)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in OWN_HEADERS}
                upstream.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
                response = upstream.getresponse()
                content = response.read()
                kept = [(name, value) for name, value in response.getheaders() if name.lower() not in OWN_HEADERS]
                size = response.getheader("content-length") if self.command == "HEAD" else None
                upstream.close()
                if proxy.hook:
                    proxy.hook(self.command, self.path)
                return self.answer(response.status, kept, content, size)

            def answer(
                self, status: int, headers: list[tuple[str, str]], content: bytes, size: str | None = None
            ) -> None:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", size or str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

        return Handler
