"""The set-up script with a machine made of fakes: nothing is installed and no network is used."""

import ast
import importlib.util
import io
import json
import re
import shutil
import socketserver
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, ModuleType

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "setup.py"
THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("course_setup", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Machine:
    """A checkout, and a record of the commands that the set-up runs; `failing` says which of them fail."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.setup = load()
        self.root = root
        self.commands: list[str] = []
        self.failing: Callable[[str], bool] = lambda command: False
        self.free = 100.0
        root.mkdir()
        (root / "pyproject.toml").write_text("[project]\n")
        monkeypatch.setattr(self.setup, "run", self.run)
        monkeypatch.setattr(self.setup, "free_gb", lambda folder: self.free)
        self.light, self.reachable = False, True  # is PyTorch without CUDA better here, and is its index there
        monkeypatch.setattr(self.setup, "light_is_better", lambda: self.light)
        monkeypatch.setattr(self.setup, "answers", lambda command, cwd: self.reachable)

    def run(self, command: list[str], cwd: Path) -> int:
        short = command[1:] if command[1:3] == ["-m", "venv"] else command[2:]
        self.commands.append(" ".join(short))
        if self.failing(self.commands[-1]):
            return 1
        if "venv" in command:
            python = self.setup.Venv(self.root).python
            python.parent.mkdir(parents=True, exist_ok=True)
            python.unlink(missing_ok=True)
            python.symlink_to(sys.executable)
        return 0

    def set_up(self, extra: str = "lab", **options) -> str:
        self.commands.clear()
        return self.setup.set_up(self.root, extra, **options)

    def stopped(self, extra: str = "lab", **options) -> str:
        """The sentence with which the set-up gives up."""
        with pytest.raises(SystemExit) as stop:
            self.set_up(extra, **options)
        return str(stop.value)

    @property
    def kinds(self) -> list[str]:
        return [
            re.sub(r"(--python|--clear) \S.*?(?= -|$)", "", command).split(" -e")[0].strip()
            for command in self.commands
        ]

    @property
    def note(self) -> dict:
        return json.loads(self.setup.Venv(self.root).note.read_text())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "a check-out", monkeypatch)  # with a space, as in "My Documents"


def test_first_set_up_makes_the_environment_and_installs_with_uv(machine):
    assert machine.set_up() == f"Ready: .venv with Python {THIS_PYTHON}."
    assert machine.kinds == ["-m venv", "pip install --quiet uv", "uv pip install"]
    assert machine.commands[-1].endswith("-e .[lab]")
    assert str(machine.root / ".venv") in machine.commands[0]


def test_the_second_run_does_nothing(machine):
    machine.set_up()
    assert machine.set_up().startswith("Nothing to do")
    assert machine.commands == []


def test_extras_add_up_and_stay(machine):
    machine.set_up("lab")
    machine.set_up("dev")
    assert machine.commands[-1].endswith("-e .[dev,lab]")
    assert "-m venv" not in machine.kinds
    machine.set_up("lab")
    assert machine.commands == []


def test_changed_dependencies_are_installed_into_the_same_environment(machine):
    machine.set_up()
    (machine.root / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    machine.set_up()
    assert machine.kinds == ["pip install --quiet uv", "uv pip install"]


def test_pip_takes_over_where_uv_fails(machine, capsys):
    machine.failing = lambda command: command.startswith("uv ")
    machine.set_up()
    assert machine.commands[-1] == "pip install -e .[lab]"
    assert "going on with pip" in capsys.readouterr().out
    assert machine.note["state"] == "installed"


def test_pip_takes_over_where_uv_cannot_be_had(machine):
    machine.failing = lambda command: command.endswith(" uv")
    machine.set_up()
    assert machine.kinds == ["-m venv", "pip install --quiet uv", "pip install"]


def test_without_a_network_it_says_so_and_the_next_run_goes_on(machine):
    machine.failing = lambda command: "install" in command
    assert "connection to the package index" in machine.stopped()
    machine.failing = lambda command: False
    assert machine.set_up().startswith("Ready")
    assert "-m venv" not in machine.kinds
    assert machine.set_up().startswith("Nothing")


def test_an_interrupted_set_up_starts_afresh(machine, capsys):
    def interrupted(command: str) -> bool:
        if command.startswith("uv "):
            raise KeyboardInterrupt
        return False

    machine.set_up()
    machine.failing = interrupted
    with pytest.raises(KeyboardInterrupt):
        machine.set_up("dev")
    assert machine.note["state"] == "installing"

    machine.failing = lambda command: False
    machine.set_up("lab")
    assert machine.kinds[0] == "-m venv"
    assert machine.commands[-1].endswith("-e .[dev,lab]")
    assert "interrupted" in capsys.readouterr().out


def test_a_note_cut_short_is_no_set_up(machine):
    machine.set_up()
    machine.setup.Venv(machine.root).note.write_text('{"state": "inst')
    assert machine.set_up().startswith("Ready")


def test_an_environment_whose_python_is_gone_is_made_anew(machine):
    machine.set_up()
    python = machine.setup.Venv(machine.root).python
    python.unlink()
    python.symlink_to(machine.root / "uninstalled")
    machine.set_up()
    assert machine.kinds[0] == "-m venv"


def test_a_moved_checkout_gets_a_new_environment(machine, tmp_path):
    machine.set_up()
    machine.root = machine.root.rename(tmp_path / "elsewhere")
    machine.set_up()
    assert machine.kinds[0] == "-m venv"


def test_only_a_chosen_python_replaces_the_environments(machine, monkeypatch):
    machine.set_up()
    theirs = machine.setup.Venv(machine.root).python
    real = machine.setup.python_version
    monkeypatch.setattr(
        machine.setup, "python_version", lambda python: "3.99" if python != theirs or made else real(python)
    )
    made = False
    assert machine.set_up().startswith("Nothing")

    def run(command: list[str], cwd: Path) -> int:
        nonlocal made
        made = made or "venv" in command
        return machine.run(command, cwd)

    monkeypatch.setattr(machine.setup, "run", run)
    assert machine.set_up(chosen_python=True) == "Ready: .venv with Python 3.99."
    assert machine.kinds[0] == "-m venv"
    assert machine.set_up().startswith("Nothing")


def test_the_light_way_needs_uv_and_is_remembered(machine):
    machine.set_up(torch_backend="cpu")
    assert "--torch-backend cpu" in machine.commands[-1]
    assert machine.set_up().startswith("Nothing")
    machine.set_up("dev")
    assert "--torch-backend cpu" in machine.commands[-1]
    assert "-m venv" not in machine.kinds


def test_without_a_gpu_the_light_way_is_taken_and_kept(machine, capsys):
    machine.light, machine.free = True, 3.5
    machine.set_up()
    assert "--torch-backend cpu" in machine.commands[-1]
    assert "PyTorch comes without CUDA, about 200 MB" in capsys.readouterr().out
    machine.light = False
    assert machine.set_up().startswith("Nothing")
    machine.set_up("dev")
    assert "--torch-backend cpu" in machine.commands[-1]


def test_where_its_index_does_not_answer_the_usual_build_comes(machine, capsys):
    machine.light, machine.reachable = True, False
    machine.set_up()
    assert "--torch-backend" not in machine.commands[-1]
    assert "does not answer, so PyTorch comes with CUDA" in capsys.readouterr().out
    machine.reachable = True
    assert machine.set_up().startswith("Nothing")


def test_there_must_be_room_for_the_usual_build_then(machine):
    machine.light, machine.reachable, machine.free = True, False, machine.setup.NEEDED_GB_CPU
    machine.setup.NEEDED_GB = 8.0
    assert "about 8 GB" in machine.stopped()


def test_where_its_index_breaks_off_the_usual_build_comes(machine):
    machine.light = True
    machine.failing = lambda command: "--torch-backend" in command
    machine.set_up()
    assert [("cpu" in command) for command in machine.commands if command.startswith("uv ")] == [True, False]
    assert machine.set_up().startswith("Nothing")


@pytest.mark.parametrize(("asked", "installed"), [("default", ""), ("cu128", "--torch-backend cu128")])
def test_what_was_asked_for_is_installed(machine, asked, installed):
    machine.light = True
    machine.set_up(torch_backend=asked)
    assert installed in machine.commands[-1] and "cpu" not in machine.commands[-1]
    assert machine.set_up().startswith("Nothing")
    assert machine.set_up(torch_backend=asked).startswith("Nothing")


def test_changing_to_the_light_way_starts_afresh(machine):
    machine.set_up()
    machine.set_up(torch_backend="cpu")
    assert machine.kinds[0] == "-m venv"


def test_the_light_way_without_uv_is_refused(machine):
    machine.failing = lambda command: command.startswith("uv ")
    assert "TORCH_BACKEND=cpu needs uv" in machine.stopped(torch_backend="cpu")


def test_too_little_room_is_said_before_anything_is_downloaded(machine):
    machine.free = 2.5
    message = machine.stopped()
    assert "2.5 GB" in message
    assert f"about {machine.setup.NEEDED_GB:.0f} GB" in message
    assert machine.commands == []


def test_room_for_the_light_way_is_enough_for_it(machine):
    machine.free = 3.5
    assert machine.set_up(torch_backend="cpu").startswith("Ready")


def test_a_disk_that_fills_up_is_named_and_pip_not_tried(machine):
    def fills_up(command: str) -> bool:
        machine.free = 0.0
        return command.startswith("uv ")

    machine.failing = fills_up
    assert "The disk is nearly full: 0.0 GB" in machine.stopped()
    assert machine.kinds[-1] == "uv pip install"
    assert machine.note["state"] == "installing"  # half-written packages may lie there: the next run starts afresh


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_says_what_to_install(machine, monkeypatch, module):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else find(name, *rest))
    message = machine.stopped()
    assert f"without `{module}`" in message
    assert "apt install python3-venv" in message


def test_a_folder_that_cannot_be_written_is_named(machine):
    (machine.root / "build").write_text("a file where the folder should be")
    assert "cannot be written to" in machine.stopped()


def test_two_at_once_do_the_work_once(machine, capsys):
    waiting = threading.Event()
    results = {}
    second = threading.Thread(target=lambda: results.update(second=machine.setup.set_up(machine.root, "lab")))
    try_lock = machine.setup._try_lock

    def observed(file) -> bool:
        got = try_lock(file)
        if not got:
            waiting.set()
        return got

    def started_while_installing(command: str) -> bool:
        if command.startswith("uv "):
            second.start()
            assert waiting.wait(30)
        return False

    machine.setup._try_lock = observed
    machine.failing = started_while_installing
    results["first"] = machine.set_up()
    second.join(30)
    assert results["first"].startswith("Ready")
    assert results["second"].startswith("Nothing")
    assert machine.kinds.count("uv pip install") == 1
    assert "waiting for it" in capsys.readouterr().out


# --- uv itself, with PyTorch's index on this machine ------------------------------------------------------------------


def wheel(name: str, version: str) -> bytes:
    """A package that holds nothing."""
    made, info = io.BytesIO(), f"{name}-{version}.dist-info"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return made.getvalue()


class Index(socketserver.StreamRequestHandler):
    """A proxy that answers in the place of PyTorch's own index, over TLS; `silent` accepts and says nothing."""

    context: ssl.SSLContext
    silent = False
    files = MappingProxyType(
        {
            "/whl/cpu/torch/": b'<a href="torch-99.0%2Bcpu-py3-none-any.whl">torch</a>',
            "/whl/cpu/torch/torch-99.0%2Bcpu-py3-none-any.whl": wheel("torch", "99.0+cpu"),
        }
    )

    def handle(self) -> None:
        asked = self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        if self.silent or b"download.pytorch.org:443" not in asked:
            self.connection.recv(1)  # until whoever asks has had enough
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with (
            self.context.wrap_socket(self.connection, server_side=True) as connection,
            connection.makefile("rwb") as file,
        ):
            while line := file.readline():
                while file.readline().strip():
                    pass
                method, place, _ = line.decode().split(" ", 2)
                content = self.files.get(place, b"")
                kind = "text/html" if place.endswith("/") else "application/octet-stream"
                head = [f"HTTP/1.1 {'200 OK' if content else '404 Not Found'}", f"Content-Type: {kind}"]
                head += [f"Content-Length: {len(content)}", "", ""]
                file.write("\r\n".join(head).encode() + (content if method == "GET" else b""))
                file.flush()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """PyTorch's index, for uv, is here: through a proxy with a certificate that uv is told to trust."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=download.pytorch.org"]
    command += ["-addext", "subjectAltName=DNS:download.pytorch.org", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setattr(Index, "context", context, raising=False)
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Index)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    yield Index
    server.shutdown()


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """The set-up on a Linux without a GPU, with an environment that has nothing but the uv of this one."""
    pytest.importorskip("uv", reason="uv is not installed in this environment")
    setup = load()
    monkeypatch.setattr(setup, "light_is_better", lambda: True)
    monkeypatch.setattr(setup, "free_gb", lambda folder: 100.0)
    subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", str(tmp_path / ".venv")], check=True)
    venv = setup.Venv(tmp_path)
    venv.python = Path(sys.executable)
    return setup, venv


def test_uv_finds_pytorch_without_cuda(index, empty, tmp_path):
    setup, venv = empty
    assert setup.choose_backend(venv) == "cpu"
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--no-deps",
        "--no-cache",
        "--torch-backend",
        "cpu",
        "torch",
    ]
    assert setup.run([*command, "--python", str(tmp_path / ".venv")], tmp_path) == 0
    assert list((tmp_path / ".venv").rglob("torch-99.0+cpu.dist-info"))


@pytest.mark.parametrize("fault", ["silent", "empty"])
def test_uv_does_not_wait_for_an_index_that_is_not_there(index, empty, fault, monkeypatch):
    setup, venv = empty
    monkeypatch.setattr(setup, "PATIENCE", 2)
    monkeypatch.setattr(index, "silent", fault == "silent")
    monkeypatch.setattr(index, "files", {})
    assert setup.choose_backend(venv) == ""


class TestOldPython:
    """The part that runs on a Python too old for the rest."""

    def run(self, monkeypatch, *, arguments=(), working: str | None = None) -> tuple[str | int, list[list[str]]]:
        """Returns what the script exits with, and the commands it ran; only the Python named `working` works."""
        setup = load()
        calls = []

        def call(command: list[str], **options) -> int:
            calls.append(command)
            return 0 if working and command[0].endswith(working) else 127

        monkeypatch.setattr(sys, "argv", ["scripts/setup.py", *arguments])
        monkeypatch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(subprocess, "call", call)
        with pytest.raises(SystemExit) as stop:
            setup.use_a_newer_python()
        return stop.value.code, calls

    def test_it_goes_on_with_a_newer_one(self, monkeypatch, capsys):
        code, calls = self.run(monkeypatch, arguments=["--extra", "lab"], working="python3.11")
        assert code == 0
        assert calls[-1] == ["/usr/bin/python3.11", "scripts/setup.py", "--extra", "lab"]
        assert "Python 3.8.18 is too old for the course; going on with python3.11." in capsys.readouterr().out

    def test_without_one_it_says_what_to_do(self, monkeypatch):
        code, calls = self.run(monkeypatch)
        assert code.startswith("The course needs Python 3.10 or newer")
        assert "3.8.18" in code
        assert [call[0] for call in calls] == [f"/usr/bin/python3.{minor}" for minor in (13, 12, 11, 10)]

    def test_a_chosen_one_is_not_replaced(self, monkeypatch):
        code, calls = self.run(monkeypatch, arguments=["--chosen-python"], working="python3.11")
        assert code.startswith("The course needs Python 3.10 or newer")
        assert calls == []

    def test_an_old_python_can_read_the_script(self):
        tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 6))
        guard = next(node for node in tree.body if isinstance(node, ast.If))
        before = [node for node in tree.body if node.lineno < guard.lineno]
        # What runs before the guard may use neither annotations nor imports that an old Python lacks.
        assert [alias.name for node in before if isinstance(node, ast.Import) for alias in node.names] == ["sys"]
        assert not any(isinstance(node, ast.ImportFrom | ast.AnnAssign) for node in before)


def test_make_says_when_there_is_no_python(tmp_path):
    missing = str(tmp_path / "no python")
    command = ["make", "--no-print-directory", "-C", str(ROOT), "setup", f"PYTHON={missing}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert f"There is no {missing} here. Install Python 3.10 or newer" in result.stderr


# --- pyproject.toml and its twins ------------------------------------------------------------------------------------

CONDA_NAMES = {"pytorch": "torch"}


def floors(requirements: list[str]) -> dict[str, str]:
    bare = [requirement.partition(";")[0] for requirement in requirements]  # without "; python_version < …"
    return dict(re.fullmatch(r"([\w.-]+)>=([\d.]+)", requirement).groups() for requirement in bare)


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_conda_and_pip_install_the_same():
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    listed = [line.strip().removeprefix("- ") for line in lines if re.match(r"  - [\w.-]+>=", line)]
    conda = {CONDA_NAMES.get(name, name): floor for name, floor in floors(listed).items()}
    declared = project()
    wanted = floors(declared["dependencies"] + declared["optional-dependencies"]["lab"])
    assert conda == {**wanted, "python": declared["requires-python"].removeprefix(">=")}


def test_dev_holds_all_of_lab():
    extras = project()["optional-dependencies"]
    assert set(extras["lab"]) <= set(extras["dev"])


def test_one_version_everywhere():
    import vit_course

    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert project()["version"] == vit_course.__version__
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == vit_course.__version__


def test_the_oldest_python_is_the_same_everywhere():
    declared = tuple(int(part) for part in project()["requires-python"].removeprefix(">=").split("."))
    from vit_course.doctor import OLDEST_PYTHON

    assert load().OLDEST == OLDEST_PYTHON == declared
