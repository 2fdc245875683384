"""Who may import whom, what import costs, and what the code never does."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "scripts"))
import layout  # noqa: E402

LIVE = sorted((REPO / "rt_decoder").rglob("*.py"))
OFFLINE = sorted((REPO / "calibration").rglob("*.py"))
HEAVY = {"torch", "transformers", "sklearn", "mne", "scipy.signal", "numba"}


def test_imports_keep_to_the_rooms():
    assert layout.violations(layout.read(REPO)) == []


def test_every_row_of_the_table_stands():
    missing = [
        place
        for place in layout.PLACES
        if place != "calibration/__main__"  # there may be one
        and not (REPO / place).is_dir()
        and not (REPO / f"{place}.py").is_file()
    ]
    assert missing == []
    for name, room in layout.ROOMS.items():
        earlier = layout.ORDER[: layout.ORDER.index(name)]
        assert set(room.imports.split()) <= set(earlier), name


# A file, its text, and what is said of it: in a tree that has one file more, `kernels/sos.py`.
BROKEN = {
    "climbs": ("timing/align.py", "import rt_decoder.live.session", "no import climbs back"),
    "climbs to a name": (
        "timing/align.py", "from rt_decoder.live import session", "no import climbs back"
    ),
    "climbs by the front door": (
        "signal.py", "from rt_decoder import Pipeline", "no import climbs back"
    ),
    "climbs by a relative import": (
        "timing/align.py", "from ..live.session import x", "no import climbs back"
    ),
    "climbs inside a function": (
        "timing/align.py", "def f():\n    from rt_decoder.live import session",
        "timing/align.py:2 imports",
    ),
    "climbs for type checkers": (
        "signal.py", "if TYPE_CHECKING:\n    from rt_decoder.timing.align import Align",
        "no import climbs back",
    ),
    "is not named by the row": (
        "files/xdf.py", "from rt_decoder.kernels.sos import f, g",
        "files may import values, timing",
    ),
    "a kernel that imports": (
        "kernels/scan.py", "from rt_decoder.signal import Chunk", "no import climbs back"
    ),
    "a kernel of a kernel": (
        "kernels/scan.py", "from rt_decoder.kernels.sos import f", "kernels do not import each other"
    ),
    "a stage of a stage": (
        "cleaning/eye.py", "from rt_decoder.cleaning.guard import Guard",
        "cleaning do not import each other",
    ),
    "calibration from the live side": (
        "live/session.py", "import calibration.fit", "the live side reaches calibration"
    ),
    "calibration by name, elsewhere": (
        "live/session.py", "def f():\n    import_module('calibration.fit')",
        "the live side reaches calibration",
    ),
    "calibration by name, at once": (
        "commands/simulated.py", "import_module('calibration')", "the live side reaches calibration"
    ),
    "a private name": (
        "timing/align.py", "from rt_decoder.kernels.sos import _step",
        "timing/align.py:1 imports rt_decoder.kernels.sos._step, a private name",
    ),
    "a private module": (
        "timing/align.py", "from rt_decoder.kernels import _hidden", "a private name"
    ),
    "an attribute that is private": (
        "timing/align.py", "from rt_decoder.kernels import sos as s\ns._step()",
        "timing/align.py:2 takes s._step, a private name",
    ),
    "a private attribute in full": (
        "timing/align.py", "import rt_decoder.kernels.sos\nrt_decoder.kernels.sos._step()",
        "timing/align.py:2 takes rt_decoder.kernels.sos._step",
    ),
    "no room": ("news/x.py", "", "rt_decoder/news/x.py:1 has no room"),
    "no room in a room": ("timing/deep/x.py", "", "rt_decoder/timing/deep/x.py:1 has no room"),
}  # fmt: skip


def tree_of(folder: Path, files: dict[str, str]) -> layout.Tree:
    """Tree of these files of rt_decoder, beside a few that are empty."""
    names = "__init__ signal live/session timing/align cleaning/guard kernels/sos kernels/_hidden"
    texts = dict.fromkeys([f"{name}.py" for name in names.split()], "") | files
    for name, text in {
        **texts,
        "../calibration/__init__.py": "",
        "../calibration/fit.py": "",
    }.items():
        path = (folder / "rt_decoder" / name).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return layout.read(folder)


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_the_rules_of_the_rooms_is_told(case, tmp_path):
    name, text, told = BROKEN[case]
    found = layout.violations(tree_of(tmp_path, {name: text}))
    assert len(found) == 1
    assert told in found[0]
    assert found[0].startswith(f"rt_decoder/{name}:")


def test_circles_of_files_are_told(tmp_path):
    files = {
        "timing/align.py": "from rt_decoder.timing import framing",
        "timing/framing.py": "def f():\n    from rt_decoder.timing.timeline import g",
        "timing/timeline.py": "import rt_decoder.timing.align as a",
        "sinks/log.py": "from rt_decoder.sinks import worker",
        "sinks/worker.py": "from rt_decoder.sinks.log import x",
    }
    tree = tree_of(tmp_path, files)
    assert len(layout.violations(tree)) == 2
    assert all("imports itself in a circle" in told for told in layout.violations(tree))
    assert layout.figures(tree)["circles"] == 2


def test_circles_of_rooms_are_counted(tmp_path):
    files = {
        "timing/align.py": "from rt_decoder.live import watchdog",
        "live/watchdog.py": "",
        "live/session.py": "from rt_decoder.timing import timeline",
        "timing/timeline.py": "",
    }
    figures = layout.figures(tree_of(tmp_path, files))
    assert (figures["circles"], figures["back_arrows"]) == (1, 1)


def test_what_keeps_the_rules_is_let_alone(tmp_path):
    files = {
        "timing/align.py": (
            "import numpy as np\nfrom rt_decoder.kernels import sos\nfrom rt_decoder import signal\n"
            "np._private; sos.step(); self._x = other._y; sos.__doc__"
        ),
        "cleaning/qrs.py": "",
        "cleaning/heartbeat.py": "from rt_decoder.cleaning.qrs import find_beats",
        "commands/simulated.py": "def f():\n    import_module(f'calibration.{name}')\n"
        "    import_module('calibration.fit')",
        "decoder.py": "import rt_decoder.timing.align",
    }
    assert layout.violations(tree_of(tmp_path, files)) == []


def test_a_drawing_that_is_stale_is_told_and_drawn_again(tmp_path, monkeypatch, capsys):
    tree_of(tmp_path, {"timing/align.py": "import rt_decoder.kernels.sos"})
    readme = tmp_path / layout.README
    readme.write_text(f"before\n{layout.START}\n{layout.END}\nafter\n")
    monkeypatch.setattr(layout, "REPO", tmp_path)

    def run(*options: str) -> int:
        monkeypatch.setattr(sys, "argv", ["layout.py", *options])
        return layout.main()

    assert run("--check") == 1
    assert "needs a new drawing" in capsys.readouterr().out
    assert run("--write") == 0
    assert run("--check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["violations"] == 0
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert re.search(r"^timing .* kernels$", text, re.MULTILINE)
    (tmp_path / "rt_decoder" / "signal.py").write_text("import rt_decoder.timing.align")
    assert run("--check") == 1


def test_import_stays_light():
    code = "import sys, rt_decoder, rt_decoder.commands.cli, calibration.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO
    ).stdout.split()
    assert not HEAVY & set(loaded)


# What turns bytes or text into code. Of a module, everything; of a function, every call.
UNSAFE_MODULES = {
    "pickle", "_pickle", "marshal", "shelve", "dbm", "dill", "cloudpickle", "jsonpickle", "hickle",
    "code", "codeop", "runpy", "imp",
}  # fmt: skip
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile",
    "builtins.__import__", "torch.load", "torch.hub.load", "torch.jit.load", "joblib.load",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "pandas.read_pickle",
    "pandas.eval", "numpy.DataSource", "logging.config.listen", "os.system", "os.popen",
    "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell",
}  # fmt: skip
# What waits for others to connect, and the argument that says where; only loopback is allowed.
LISTENERS = {
    "bind", "listen", "create_server", "start_server", "create_datagram_endpoint", "HTTPServer",
    "ThreadingHTTPServer", "TCPServer", "UDPServer", "serve_forever", "uvicorn.run",
}  # fmt: skip
HERE = {"127.0.0.1", "localhost", "::1"}
TESTS = sorted((REPO / "tests").rglob("*.py"))
SCRIPTS = [
    path
    for path in sorted((REPO / "scripts").rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts
]


class Source(NamedTuple):
    """A Python file, parsed, and what its imported names stand for."""

    path: Path
    nodes: tuple[ast.AST, ...]
    names: dict[str, str]

    def called(self, call: ast.Call) -> str:
        """Full name of the function, whatever it was imported as."""
        first, dot, rest = ast.unparse(call.func).partition(".")
        return self.names.get(first, first) + dot + rest


def parsed(text: str, path: Path = Path("example.py")) -> Source:
    nodes = tuple(ast.walk(ast.parse(text)))
    names = {"np": "numpy", "pd": "pandas"}
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return Source(path, nodes, names)


@cache
def sources() -> list[Source]:
    texts = [(path, path.read_text(encoding="utf-8")) for path in [*LIVE, *OFFLINE, *TESTS]]
    scripts = [(path, path.read_text(encoding="utf-8")) for path in SCRIPTS]
    texts += [(p, text) for p, text in scripts if p.suffix == ".py" or "python" in text[:40]]
    return [parsed(text, path) for path, text in texts]


def unsafe(source: Source) -> list[str]:
    """What in the file unpickles, evaluates or trusts code that is not ours."""
    found = []
    for node in source.nodes:
        where = f"{source.path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {(getattr(node, "module", "") or "").split(".")[0]}
            if isinstance(node, ast.Import):
                modules = {alias.name.split(".")[0] for alias in node.names}
            found += [f"{where} imports {name}" for name in modules & UNSAFE_MODULES]
        elif isinstance(node, ast.Call):
            found += [f"{where} {why}" for why in _unsafe_call(source, node)]
        elif isinstance(node, ast.Dict):
            found += [
                f"{where} {ast.unparse(node)}"
                for key, value in zip(node.keys, node.values, strict=True)
                if _says(key, "trust_remote_code") and not _is(value, False)
            ]
        elif isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            if name == "trust_remote_code" and isinstance(node.ctx, ast.Store):
                found.append(f"{where} sets {name}")
        elif isinstance(node, ast.Subscript) and _says(node.slice, "trust_remote_code"):
            found.append(f"{where} {ast.unparse(node)}")
    return found


def _unsafe_call(source: Source, call: ast.Call) -> list[str]:
    name = source.called(call)
    found = [name] if name in UNSAFE_CALLS or name.split(".")[0] in UNSAFE_MODULES else []
    for keyword in call.keywords:
        if keyword.arg in {"allow_pickle", "trust_remote_code", "shell"}:
            found += [] if _is(keyword.value, False) else [f"{name}({keyword.arg}=...)"]
    if name == "numpy.load" and len(call.args) > 2:  # the third says whether to unpickle
        found.append(f"{name} by position")
    if name in {"setattr", "builtins.setattr"} and _says(call.args[1], "trust_remote_code"):
        found.append("setattr trust_remote_code")
    if name.endswith("Model.from_pretrained") and not any(
        k.arg == "use_safetensors" and _is(k.value, True) for k in call.keywords
    ):
        found.append(f"{name} without use_safetensors=True")
    return found


def _is(node: ast.AST | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _says(node: ast.AST | None, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def test_nothing_is_unpickled_or_evaluated():
    of_tests = set(TESTS)  # they may load what they have just written themselves
    found = [why for source in sources() if source.path not in of_tests for why in unsafe(source)]
    found += [
        why
        for source in sources()
        if source.path in of_tests
        for why in unsafe(source)
        if "from_pretrained without" not in why
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads as f",
        "eval('1')",
        "__import__('os')",
        "import builtins as b; b.exec('1')",
        "from torch import load; load('x')",
        "import torch as t; t.load('x', weights_only=False)",
        "import joblib; joblib.load('x')",
        "from joblib import load as fetch; fetch('x')",
        "import numpy as np; np.load('x', allow_pickle=True)",
        "import numpy; numpy.load('x', None, True)",
        "import yaml; yaml.load('x', Loader)",
        "import subprocess; subprocess.run('ls', shell=True)",
        "import os; os.system('ls')",
        "f(trust_remote_code=True)",
        "f(trust_remote_code=flag)",
        "f(**{'trust_remote_code': True})",
        "options['trust_remote_code'] = 1",
        "setattr(config, 'trust_remote_code', 1)",
        "config.trust_remote_code = 1",
        "AutoModel.from_pretrained(folder)",
    ],
)
def test_what_would_be_found(text):
    assert unsafe(parsed(text))


@pytest.mark.parametrize(
    "text",
    [
        "import re; re.compile('x')",
        "net.eval()",
        "import json; json.loads('1')",
        "import numpy as np; np.load('x', allow_pickle=False)",
        "f(trust_remote_code=False)",
        "f(**{'trust_remote_code': False})",
        "import subprocess; subprocess.run(['ls'])",
    ],
)
def test_what_is_allowed(text):
    assert not unsafe(parsed(text))


def listens_elsewhere(source: Source) -> list[str]:
    """Calls that would wait for other machines to connect."""
    found = []
    for node in source.nodes:
        if isinstance(node, ast.Call):
            name = source.called(node)
            if name in LISTENERS or name.split(".")[-1] in LISTENERS - {"uvicorn.run"}:
                words = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                if not words & HERE:
                    found.append(f"{source.path.name}:{node.lineno} {ast.unparse(node)}")
        if isinstance(node, ast.Constant) and node.value in ("0.0.0.0", "::"):
            found.append(f"{source.path.name}:{node.lineno} {node.value}")
    return found


def test_nothing_of_ours_listens_but_on_loopback():
    here = Path(__file__).resolve()
    found = [why for s in sources() if s.path != here for why in listens_elsewhere(s)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import socket; socket.create_server(('', 0))",
        "sock.bind(('0.0.0.0', 80))",
        "import uvicorn; uvicorn.run(app, host=host)",
        "HTTPServer(('', 8000), handler)",
        "config(host='0.0.0.0')",
    ],
)
def test_what_listens_elsewhere_would_be_found(text):
    assert listens_elsewhere(parsed(text))


SOCKETS = """\
import json, socket, sys
from rt_decoder.sinks import loopback
configure, keep = sys.argv[2].split()
getattr(loopback, configure)()
import pylsl
outlet = pylsl.StreamOutlet(pylsl.StreamInfo("x", "EEG", 1, 100.0, "float32", sys.argv[1]))
told = loopback.keep_local(outlet) if keep == "kept" else None
found = []
for sock in loopback._own_sockets():
    device = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\\0")
    found.append((sock.type.name, *sock.getsockname()[:2], device.decode()))
print(json.dumps([told, found]))
"""


def sockets(source_id: str, how: str, environment: dict[str, str]) -> tuple[bool | None, list]:
    """What `keep_local` said, and (type, address, port, device) of a process with an outlet."""
    ran = subprocess.run(
        [sys.executable, "-c", SOCKETS, source_id, how],
        capture_output=True, text=True, check=True, cwd=REPO, env=environment,
    )  # fmt: skip
    told, found = json.loads(ran.stdout)
    if how.endswith(" kept") and "LSLAPICFG" not in environment and not told:
        pytest.skip("this kernel does not let a program bind its sockets to a device")
    assert {kind for kind, *_ in found} == {"SOCK_STREAM", "SOCK_DGRAM"}
    assert len(found) >= 3  # samples, clock, search
    return told, [one for one in found if not one[1].startswith("127.") and one[3] != "lo"]


@pytest.fixture
def unconfigured(tmp_path) -> dict[str, str]:
    """Environment in which no LSL configuration is chosen, and none is found at home."""
    return {k: v for k, v in os.environ.items() if k != "LSLAPICFG"} | {"HOME": str(tmp_path)}


@pytest.mark.lsl
@pytest.mark.skipif(sys.platform != "linux", reason="sockets are bound to a device on Linux only")
@pytest.mark.parametrize("configure", ["configure_loopback", "configure_local"])
def test_a_local_outlet_is_on_loopback_only(configure, source_id, unconfigured):
    told, reachable = sockets(source_id, f"{configure} kept", unconfigured)
    assert told
    assert reachable == []


@pytest.mark.lsl
@pytest.mark.skipif(sys.platform != "linux", reason="sockets are bound to a device on Linux only")
def test_liblsl_alone_listens_everywhere(source_id, unconfigured):
    # its ListenAddress is that of the search; should this change, `keep_local` can go
    _, reachable = sockets(source_id, "configure_loopback open", unconfigured)
    assert {kind for kind, *_ in reachable} == {"SOCK_STREAM", "SOCK_DGRAM"}


@pytest.mark.lsl
@pytest.mark.skipif(sys.platform != "linux", reason="sockets are bound to a device on Linux only")
def test_a_configuration_of_the_users_own_decides(source_id, unconfigured, tmp_path):
    own = tmp_path / "lab.cfg"
    own.write_text("[ports]\nIPv6 = disable\n")
    environment = unconfigured | {"LSLAPICFG": str(own)}
    told, reachable = sockets(source_id, "configure_local kept", environment)
    assert told is False
    assert reachable


def test_top_level_holds_what_the_design_says():
    listed = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=False, cwd=REPO
    ).stdout.splitlines()
    top = {name.split("/")[0] for name in listed}
    allowed = {"rt_decoder", "calibration", "tests", "scripts", "pyproject.toml", "README.md"}
    assert {name for name in top if not name.startswith(".")} <= allowed | {"LICENSE"}
