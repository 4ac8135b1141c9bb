"""A small HTTP server on this machine that serves one file well, or badly in every way the internet knows.

    with ImageServer(payload) as server:
        server.url("good")

| path | what it does |
| --- | --- |
| good | serves the file; understands Range |
| plain | serves the file; ignores Range and always starts at the beginning |
| drip | serves at 55 kB/s by `server.clock`: nothing waits, the seconds are counted where the bytes are read |
| drip2 | the same at 110 kB/s |
| drop | breaks every connection after `drop_after` bytes |
| truncate | claims the whole size, never sends more than the first half |
| corrupt | right size, one byte is wrong |
| rotten | both: breaks every connection, and one byte is wrong |
| portal | 200 OK with a login page, as hotel networks do |
| other | another file, one byte longer |
| missing, busy | 404, 503 |
| gate | sends the first half, then waits until `server.gate` is set |
"""

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RATES = {"drip": 55_000, "drip2": 110_000}


class ImageServer:
    def __init__(self, payload: bytes, drop_after: int = 100_000):
        self.payload, self.drop_after = payload, drop_after
        self.gate = threading.Event()
        self.requests: list[tuple[str, str | None]] = []  # (behaviour, Range header), in the order they came
        self.seconds = 0.0
        handler = type("Handler", (_Handler,), {"owner": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> "ImageServer":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{behaviour}"

    def urls(self, *behaviours: str) -> tuple[str, ...]:
        return tuple(map(self.url, behaviours))

    def asked(self) -> list[str]:
        """What was asked for, in order."""
        return [behaviour for behaviour, _ in self.requests]

    def clock(self) -> float:
        """Seconds that the dripping hosts would have needed for what has been read from them."""
        return self.seconds

    def timed(self, open_url: Callable) -> Callable:
        """`open_url(url, …)` with responses that move the clock when a dripping host is read."""

        def opened(url: str, *args: object) -> object:
            response = open_url(url, *args)
            rate = RATES.get(url.rpartition("/")[2])
            return _Dripping(self, response, rate) if rate else response

        return opened


class _Dripping:
    def __init__(self, server: ImageServer, response: object, rate: int):
        self.server, self.response, self.rate = server, response, rate
        self.status, self.headers = response.status, response.headers

    def __enter__(self) -> "_Dripping":
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()

    def read1(self, count: int) -> bytes:
        data = self.response.read1(min(count, self.rate // 10))
        self.server.seconds += len(data) / self.rate
        return data


class _Handler(BaseHTTPRequestHandler):
    owner: ImageServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        behaviour, wanted = self.path.strip("/"), self.headers.get("Range")
        self.owner.requests.append((behaviour, wanted))
        if behaviour in ("missing", "busy"):
            self.send_error({"missing": 404, "busy": 503}[behaviour])
            return
        data = self.owner.payload
        if behaviour == "portal":
            data = b"<html>Please log in.</html>"
        elif behaviour == "other":
            data += b"!"
        elif behaviour in ("corrupt", "rotten"):
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and behaviour != "plain" else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has heard enough
            self._send(behaviour, data, start)
        self.close_connection = True

    def _send(self, behaviour: str, data: bytes, start: int) -> None:
        half = len(data) // 2
        if behaviour in ("drop", "rotten"):
            self.wfile.write(data[start : start + self.owner.drop_after])
        elif behaviour == "truncate":
            self.wfile.write(data[start:half])
        elif behaviour == "gate":
            self.wfile.write(data[start:half])
            self.wfile.flush()
            self.owner.gate.wait(60)
            self.wfile.write(data[max(start, half) :])
        else:
            self.wfile.write(data[start:])
