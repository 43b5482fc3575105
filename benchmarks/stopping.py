"""How long it takes from a signal to the word about it, and to the end: in every phase, with all that will not stop.

    python benchmarks/stopping.py [--repeat N] [--only NAME]
    python benchmarks/stopping.py --moments 10 [--seed N]

Each scene is a session of its own whose phase would go on for minutes; what runs in it ignores SIGINT and SIGTERM.
With `--moments` the demo is stopped at so many random moments by signals, and at as many by `netra-loop stop`. The
promise is a word within 200 ms and exit 75 within 6 s.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stopping_moments import SIGNALS, stop_often

PATIENCE_S = 120.0
DEAF = "import signal, time\nfor kind in (signal.SIGINT, signal.SIGTERM): signal.signal(kind, signal.SIG_IGN)\n"
SERVICE = DEAF + textwrap.dedent("""
    import http.server, os
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers()
        def log_message(self, *args): pass
    print("it serves", flush=True)
    http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
""")
TESTS = "tests: {paths: [../tests], workers: 4, retries: 0, timeout: 10m}\ngoal: {authenticity: off}\n"
HEAD = "version: 1\nname: scene\n" + TESTS
LOCAL = HEAD + "environments: {here: {cloud: embedded}}\n"
SERVES = """services:
  web: {source: ../service, command: [python, serve.py], startup_probe: {path: /, timeout: 60s, period: 100ms}}
"""
NO_TESTS = {"tests/test_a.py": "def test_a(): pass\n"}


@dataclass(frozen=True)
class Scene:
    """A loop, files beside it, and what its output or files show once the moment has come."""

    name: str
    loop: str
    files: dict[str, str]
    reached: Callable[[Path, str], bool]
    knobs: dict[str, float] | None = None
    needs_cloud: bool = False


def _mark(name: str) -> Callable[[Path, str], bool]:
    return lambda folder, _said: (folder / name).exists()


def _says(text: str) -> Callable[[Path, str], bool]:
    return lambda _folder, said: text in said


SCENES = (
    Scene(
        "build",
        HEAD + "environments: {here: {cloud: google, project: p, region: r, endpoint: '${env.SCENE_CLOUD}'}}\n"
        "services:\n  web: {source: ../service, image: example.test/web, build: python build.py}\n"
        "phases: {deploy: {uses: deploy}}\n",
        {"service/none": "", **NO_TESTS, "build.py": DEAF + "open('mark', 'w').close()\ntime.sleep(300)\n"},
        _mark("mark"),
        needs_cloud=True,
    ),
    Scene(
        "cloud starts",
        LOCAL + SERVES + "phases: {deploy: {uses: deploy}}\n",
        {"service/serve.py": SERVICE, **NO_TESTS},
        _says("deploy: started"),
    ),
    Scene(
        "readiness",
        LOCAL + SERVES + "phases: {deploy: {uses: deploy}}\n",
        {**NO_TESTS, "service/serve.py": DEAF + "open('../mark', 'w').close()\ntime.sleep(300)\n"},
        _mark("mark"),
    ),
    Scene(
        "select",
        HEAD + "phases: {select: {uses: select}}\n",
        {"tests/test_a.py": DEAF + "open('mark', 'w').close()\ntime.sleep(300)\n"},
        _says("select: started"),
    ),
    Scene(
        "execute",
        LOCAL + SERVES + "phases: {deploy: {uses: deploy}, select: {uses: select}, execute: {uses: execute}}\n",
        {
            "service/serve.py": SERVICE,
            "tests/test_a.py": "import pytest\n@pytest.mark.parametrize('n', range(8))\ndef test_hangs(n):\n"
            + textwrap.indent(DEAF, "    ")
            + "    open(f'mark{n}', 'w').close()\n    time.sleep(300)\n",
        },
        _mark("mark3"),
    ),
    Scene(
        "collect-logs",
        LOCAL + SERVES + "phases: {deploy: {uses: deploy}, select: {uses: select}, execute: {uses: execute}, "
        "collect: {uses: collect-logs, with: {settle: 5m}}}\n",
        {"service/serve.py": SERVICE, "tests/test_a.py": "def test_a(): pass\n"},
        _says("collect: started"),
        knobs={"ingest_delay_ms": 600_000.0},
    ),
    Scene(
        "run",
        HEAD + "phases: {fix: {uses: run, with: {command: python fix.py, timeout: 10m}}}\n",
        {
            "tests/test_a.py": "def test_a(): pass\n",
            "fix.py": DEAF + "import os\nif os.fork(): time.sleep(300)\nos.setsid()\n"
            "open('mark', 'w').close()\ntime.sleep(300)\n",
        },
        _mark("mark"),
    ),
)


@dataclass
class Measured:
    """Seconds from the signal; `notice_s` None where nothing was said."""

    notice_s: float | None
    exit_s: float
    code: int
    last: str


def measure(scene: Scene, kind: signal.Signals, endpoint: str) -> Measured:
    """One session of `scene`, stopped by `kind` once its moment has come."""
    with tempfile.TemporaryDirectory(prefix="nl-stop-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        for name, text in {**scene.files, "loops/scene.yaml": scene.loop}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        if scene.knobs is not None:
            state = folder / ".netra-loop" / "sessions" / "scene" / "cloud"
            state.mkdir(mode=0o700, parents=True)
            for made in (state, state.parent, state.parent.parent, state.parent.parent.parent):
                made.chmod(0o700)
            (state / "knobs.json").write_text(json.dumps(scene.knobs))
        environ = {**os.environ, "SCENE_CLOUD": endpoint, "TMPDIR": temporary}
        command = [sys.executable, "-m", "netra_loop.cli.main", "run", "scene", "--plain", "--session-name", "scene"]
        process = subprocess.Popen(
            command, cwd=folder, env=environ, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        told = _Told(process)
        end = time.monotonic() + PATIENCE_S
        while not scene.reached(folder, told.text()):
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                sys.exit(f"{scene.name}: its moment never came:\n{told.text()}")
            time.sleep(0.005)
        time.sleep(0.2)
        asked = time.monotonic()
        process.send_signal(kind)
        code = process.wait(PATIENCE_S)
        ended = time.monotonic()
        told.thread.join(5)
        if code == 4:
            sys.exit(next(folder.glob("netra-loop-defect-*")).read_text())
        return Measured(told.when("stopping", asked), ended - asked, code, told.text().splitlines()[-1])


class _Told:
    """What a process said on stderr, and when."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: list[tuple[float, str]] = []
        self._process = process
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append((time.monotonic(), line))

    def text(self) -> str:
        return "".join(line for _, line in list(self._lines))

    def when(self, word: str, asked: float) -> float | None:
        return next((at - asked for at, line in self._lines if word in line), None)


def main() -> None:
    """Prints a line for each scene and signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--moments", type=int, default=0)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    if options.moments:
        stop_often(options.moments, options.seed, SIGNALS)
        stop_often(options.moments, options.seed, ["netra-loop stop"])
        return
    with tempfile.TemporaryDirectory(prefix="nl-cloud-") as folder:
        served = [sys.executable, "-m", "netra_loop.cli.main", "cloud", "--port", "0", "--no-token", "--json"]
        cloud = subprocess.Popen([*served, "--folder", f"{folder}/state"], stdout=subprocess.PIPE, text=True)
        assert cloud.stdout is not None
        endpoint = json.loads(cloud.stdout.readline())["endpoint"]
        try:
            print(f"{'scene':14} {'signal':8} {'notice':>8} {'exit':>8}  code")
            for scene in SCENES:
                if options.only not in scene.name:
                    continue
                for turn in range(options.repeat):
                    kind = SIGNALS[turn % 3]
                    said = measure(scene, kind, endpoint)
                    notice = "none" if said.notice_s is None else f"{said.notice_s * 1000:.0f} ms"
                    print(f"{scene.name:14} {kind.name:8} {notice:>8} {said.exit_s:6.2f} s  {said.code}  {said.last}")
        finally:
            cloud.terminate()
            cloud.wait()


if __name__ == "__main__":
    main()
