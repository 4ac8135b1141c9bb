"""The explorer's page in Firefox: what it says is what torch says, by mouse and by keys.

Playwright's own Firefox would be a download; the system's is driven by WebDriver BiDi, which it speaks itself.
"""

import json
import re
import shutil
import subprocess
from base64 import b64decode
from itertools import count

import numpy as np
import pytest
from test_explorer_page import PATIENCE, PICTURES, expected, keep

from vit_course.explorer.page import write_page

websocket = pytest.importorskip("websocket", reason="websocket-client is not installed")
FIREFOX = shutil.which("firefox") or shutil.which("firefox-esr")
pytestmark = pytest.mark.skipif(FIREFOX is None, reason="no firefox on this machine")
ESCAPE, RIGHT = "\ue00c", "\ue014"


class Firefox:
    """A page in Firefox; what it complains of is kept in `.complaints`."""

    def __init__(self, process: subprocess.Popen) -> None:
        lines = (re.search(r"BiDi listening on (\S+)", line) for line in process.stderr)
        address = next(found[1] for found in lines if found)
        self.socket = websocket.create_connection(f"{address}/session", timeout=PATIENCE / 1000, suppress_origin=True)
        self.numbers, self.complaints = count(), []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.context = self.ask("browsingContext.getTree")["contexts"][0]["context"]
        self.ask("browsingContext.setViewport", context=self.context, viewport={"width": 1280, "height": 1000})

    def ask(self, method: str, **parameters) -> dict:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] in ("error", "warn"):
                self.complaints.append(answer["params"]["text"])
        assert answer["type"] == "success", answer
        return answer["result"]

    def open(self, address: str) -> None:
        self.ask("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def evaluate(self, code: str):
        """The value of an expression, a promise's once it is there; it goes through JSON."""
        said = self.ask(
            "script.evaluate",
            expression=f"Promise.resolve({code}).then((value) => JSON.stringify(value))",
            target={"context": self.context},
            awaitPromise=True,
        )
        assert said["type"] == "success", said
        return json.loads(said["result"].get("value", "null"))

    def keys(self, *pressed: str) -> None:
        actions = [{"type": kind, "value": key} for key in pressed for kind in ("keyDown", "keyUp")]
        self._perform({"type": "key", "id": "keys", "actions": actions})

    def click(self, selector: str, index: int) -> None:
        found = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
        self.evaluate(f"{found}.scrollIntoView({{block: 'center'}})")
        at = self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({found}.getBoundingClientRect())"
        )
        move = {"type": "pointerMove", "x": round(at[0]), "y": round(at[1])}
        press = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        self._perform({"type": "pointer", "id": "mouse", "actions": [move, *press]})

    def _perform(self, actions: dict) -> None:
        self.ask("input.performActions", context=self.context, actions=[actions])

    def screenshot(self) -> bytes:
        return b64decode(self.ask("browsingContext.captureScreenshot", context=self.context)["data"])


@pytest.fixture
def firefox(tmp_path):
    (tmp_path / "profile").mkdir()
    command = [FIREFOX, "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", tmp_path / "profile"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            yield Firefox(process)
        finally:
            process.kill()


READY = (
    "new Promise((done) => { const look = () => { const main = document.querySelector('main');"
    "main.dataset.failed !== undefined ? done(main.textContent) : main.dataset.ready && !main.screen.running "
    "? done('ready') : setTimeout(look, 10) }; look() })"
)


def probabilities(page):
    assert page.evaluate(READY) == "ready"
    return page.evaluate("[...document.querySelector('main').screen.results.probabilities]")


def test_in_firefox_it_says_what_torch_says_by_mouse_and_by_keys(firefox, tmp_path):
    write_page(tmp_path / "site")
    firefox.open((tmp_path / "site" / "explorer.html").as_uri())
    np.testing.assert_allclose(probabilities(firefox), expected(PICTURES()[0].pixels), atol=1e-4)
    assert firefox.evaluate("document.querySelector('main').dataset.simd") == "true"

    firefox.click(".gallery button", 2)
    firefox.click(".cells button", 8 * 2 + 3)
    caption = "document.querySelector('.caption').innerText"
    assert probabilities(firefox) and "Asking: the patch in row 2, column 3" in firefox.evaluate(caption)
    firefox.keys(RIGHT, " ", ESCAPE)
    assert "Asking: CLS" in firefox.evaluate(caption)
    firefox.click(".tile", 3 * 1 + 1)
    frog = expected(PICTURES()[2].pixels, masked=(8 * 2 + 4,), off=((1, 1),))
    np.testing.assert_allclose(probabilities(firefox), frog, atol=1e-4)
    keep("firefox", firefox.screenshot)
    assert firefox.complaints == []
