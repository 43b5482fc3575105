"""What a test does through processes of its own: forks are followed, programs are named."""

from __future__ import annotations

import json
from typing import Any

import pytest

SUITE = """
import asyncio, concurrent.futures, multiprocessing, os, pty, signal, socket, subprocess, sys, time, urllib.request
import pytest, uvloop

FORK = multiprocessing.get_context("fork")
PYTHON = os.path.basename(sys.executable)

def get(path):
    with urllib.request.urlopen(HTTP + path) as answer: return answer.read() and answer.status

def forked(function):
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(0)
    os.waitpid(child, 0)

def files(): return sorted(os.listdir("/proc/self/fd"))

def test_fork():
    forked(lambda: get("/fork"))
def test_fork_of_a_fork():
    forked(lambda: forked(lambda: get("/grandchild")))
def test_multiprocessing():
    process = FORK.Process(target=get, args=("/multiprocessing",))
    process.start()
    process.join()
    assert process.exitcode == 0
def test_pool():
    with concurrent.futures.ProcessPoolExecutor(2, FORK) as pool:
        assert list(pool.map(get, ["/pool/1", "/pool/2", "/pool/3"])) == [200] * 3
def test_pty():
    child, line = pty.fork()
    if child == 0:
        get("/pty")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(line)
def test_killed():
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        get("/killed")
        os.write(tell, b"x")
        time.sleep(60)
    os.read(ready, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready), os.close(tell)
def test_raw_socket_of_a_fork():
    def talk():
        with socket.create_connection(("localhost", int(HTTP.rpartition(":")[2]))) as one:
            for part in (b"GET /raw HTTP/1.1\\r\\n", b"Host: x\\r\\nConnection: close\\r\\n\\r\\n"): one.sendall(part)
            while one.recv(100): pass
    forked(talk)
@pytest.fixture(scope="session")
def crew():
    with FORK.Pool(1) as pool: yield pool
def test_first(crew): crew.apply(get, ("/crew/1",))
def test_second(crew): crew.apply(get, ("/crew/2",))
def test_idle(crew): pass
def test_no_descriptor_is_left():
    before = files()
    forked(lambda: get("/files"))
    assert files() == before

def test_run(): subprocess.run(["true"], check=True)
def test_path(): subprocess.run([sys.executable, "-c", ""], check=True)
def test_without_closing(): subprocess.run(["/bin/true"], check=True, close_fds=False)
def test_shell(): subprocess.run("A=b /bin/echo hello >/dev/null", shell=True, check=True)
def test_system(): os.system("true; false")
def test_posix_spawn(): os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
def test_spawn(): os.spawnvp(os.P_WAIT, "true", ["true"])
def test_exec(): forked(lambda: os.execvp("true", ["true"]))
def test_asyncio():
    async def go(): await (await asyncio.create_subprocess_exec("true")).wait()
    asyncio.run(go())
def test_uvloop():
    async def go():
        await (await asyncio.create_subprocess_exec("true")).wait()
        await (await asyncio.create_subprocess_shell("echo hello >/dev/null")).wait()
    uvloop.run(go())
def test_spawned_process():
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
def test_what_is_not_there():
    with pytest.raises(OSError): subprocess.run(["/no/such/program"])
def test_variable():
    own = os.environ["TRACEPARENT"]
    there = subprocess.run(["/bin/sh", "-c", "echo $TRACEPARENT"], capture_output=True, text=True).stdout.strip()
    assert own == there and own.count("-") == 3
    print(own)
def test_variable_taken_away(monkeypatch): monkeypatch.delenv("TRACEPARENT")
def test_variable_of_the_tests_own():
    os.environ["TRACEPARENT"] = "mine"
def test_none(): pass
"""


@pytest.fixture(scope="module")
def observed(watch: Any) -> Any:
    return watch(SUITE, "-W", "ignore::DeprecationWarning").seen


@pytest.mark.parametrize(
    ("test", "paths"),
    [
        ("fork", ["/fork"]),
        ("fork_of_a_fork", ["/grandchild"]),
        ("multiprocessing", ["/multiprocessing"]),
        ("pool", ["/pool/1", "/pool/2", "/pool/3"]),
        ("pty", ["/pty"]),
        ("killed", ["/killed"]),
        ("first", ["/crew/1"]),
        ("second", ["/crew/2"]),
        ("idle", []),
    ],
)
def test_what_forks_asked_is_the_tests(observed, backend, test, paths):
    seen = observed[f"test_{test}"]
    assert sorted(one["url"] for one in seen["exchanges"]) == [backend.addresses()["HTTP"] + path for path in paths]
    assert {one["status"] for one in seen["exchanges"]} <= {200}
    received = sum(row[3] for row in seen["contacts"] if row[1] == backend.ports["http"])
    assert received > 100 * len(paths) or not paths
    assert seen["blind"] == []


@pytest.mark.parametrize("test", ["fork", "fork_of_a_fork", "multiprocessing", "pool"])
def test_forks_carry_the_tests_trace_in_spans_of_their_own(observed, backend, test):
    seen = observed[f"test_{test}"]
    traces = [backend.traces["/" + one["url"].split("/", 3)[3]] for one in seen["exchanges"]]
    parts = [trace.split("-") for (trace,) in traces]
    assert {trace for _, trace, _, _ in parts} == {seen["trace"]}
    assert all(int(span, 16) > 1 << 32 for _, _, span, _ in parts)


def test_every_byte_of_a_forks_socket_is_counted(observed, backend):
    (row,) = [row for row in observed["test_raw_socket_of_a_fork"]["contacts"] if row[3]]
    assert row[:3] == [
        "localhost",
        backend.ports["http"],
        len("GET /raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    ]


@pytest.mark.parametrize(
    ("test", "programs"),
    [
        ("run", ["true"]),
        ("without_closing", ["true"]),
        ("shell", ["echo"]),
        ("system", ["true;"]),
        ("posix_spawn", ["true"]),
        ("spawn", ["true"]),
        ("exec", ["true"]),
        ("asyncio", ["true"]),
        ("uvloop", ["true", "echo"]),
        ("what_is_not_there", ["program"]),
        ("none", []),
        ("fork", []),
    ],
)
def test_programs_are_named(observed, test, programs):
    assert [name for name, _, how in observed[f"test_{test}"]["children"] if how == ""] == programs


@pytest.mark.parametrize("test", ["path", "spawned_process"])
def test_an_interpreter_is_a_program(observed, test):
    assert "python" in observed[f"test_{test}"]["children"][0][0]


def test_what_was_seen_is_plain(observed):
    assert json.loads(json.dumps(observed["test_run"])) == observed["test_run"]
