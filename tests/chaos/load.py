"""The applications of all boards: one server, a metrics page each; requests come at a rate in our hands."""

import contextlib
import http.server
import threading
import time
from typing import Any


class Applications:
    """`rates`: requests a real second by device; what came by then is counted for ever."""

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}
        self._counted: dict[str, float] = {}
        self._since_s: dict[str, float] = {}
        self._lock = threading.Lock()
        applications = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                device = self.path.split("/")[1]
                body = f"akidb_requests_total {applications.requests(device)}\n".encode()
                with contextlib.suppress(OSError):  # who asked may have been killed
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, device: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{device}/metrics"

    def rate(self, device: str, per_s: float) -> None:
        """So many from now on."""
        with self._lock:
            self._count(device)
            self._rates[device] = per_s

    def requests(self, device: str) -> int:
        with self._lock:
            return int(self._count(device))

    def _count(self, device: str) -> float:
        now_s = time.monotonic()
        since_s = self._since_s.get(device, now_s)
        came = self._rates.get(device, 0.0) * (now_s - since_s)
        self._counted[device] = self._counted.get(device, 0.0) + came
        self._since_s[device] = now_s
        return self._counted[device]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
