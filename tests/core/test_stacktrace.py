from __future__ import annotations

import textwrap

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.stacktrace import Source, parse, root_cause
from netra_loop.core.trace_lines import thrown

SERVICE = Source(root="/work/service")
ORCHESTRATOR = (
    "agent_backend/agent_service_core.py",
    544,
    "_execute",
    "AttributeError",
    "'NoneType' object has no attribute 'create'",
)


def place(text: str, source: Source = SERVICE):
    cause = root_cause(parse(textwrap.dedent(text)), source)
    assert cause is not None
    return cause.file, cause.line, cause.function, cause.exception, cause.message


def test_the_deepest_call_in_the_services_source_is_the_place(make):
    assert place(make.TRACEBACK) == ORCHESTRATOR


def test_a_library_called_by_the_service_is_not_the_place():
    text = """\
        Traceback (most recent call last):
          File "/work/service/app.py", line 9, in handle
            await client.get(url)
          File "/work/service/.venv/lib/python3.12/site-packages/httpx/_client.py", line 1, in get
            raise ConnectError(message)
          File "/usr/lib/python3.12/asyncio/base.py", line 2, in run
            pass
        httpx.ConnectError: refused
        """
    assert place(text) == ("app.py", 9, "handle", "ConnectError", "refused")


def test_the_first_of_a_chain_of_causes_is_the_root():
    text = """\
        Traceback (most recent call last):
          File "/work/service/store.py", line 3, in load
            return rows[key]
        KeyError: 'thread'

        The above exception was the direct cause of the following exception:

        Traceback (most recent call last):
          File "/work/service/app.py", line 9, in handle
            raise ServiceError("no thread") from error
        app.ServiceError: no thread
        """
    assert place(text) == ("store.py", 3, "load", "KeyError", "'thread'")


def chain_in_handling(last_line: str, error: str) -> str:
    return f"""\
        Traceback (most recent call last):
          File "/work/service/core.py", line 3, in run
            return cache[key]
        KeyError: 'x'

        During handling of the above exception, another exception occurred:

        Traceback (most recent call last):
          File "/work/service/core.py", line 5, in run
            {last_line}
        {error}
        """


def test_a_fault_in_the_handling_itself_is_the_root_and_a_reraise_is_not():
    own = chain_in_handling("self.bridge.create()", "AttributeError: no create")
    assert place(own)[1:4] == (5, "run", "AttributeError")
    reraised = chain_in_handling("raise RuntimeError('failed')", "RuntimeError: failed")
    assert place(reraised)[1:4] == (3, "run", "KeyError")


def test_an_exception_group_leads_to_its_member():
    text = """\
          + Exception Group Traceback (most recent call last):
          |   File "/work/service/app.py", line 4, in main
          |     async with asyncio.TaskGroup() as group:
          | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
          +-+---------------- 1 ----------------
            | Traceback (most recent call last):
            |   File "/work/service/jobs.py", line 7, in job
            |     boom()
            | ValueError: 3 is too many
            +------------------------------------
        """
    traces = parse(textwrap.dedent(text))
    assert [(trace.exception, trace.calls[-1].file) for trace in traces] == [
        ("ExceptionGroup", "/work/service/app.py"),
        ("ValueError", "/work/service/jobs.py"),
    ]


def test_a_group_as_python_prints_it_is_blamed_on_its_member():
    text = (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "/app/main.py", line 4, in main\n'
        "  |     async with asyncio.TaskGroup() as group:\n"
        "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | Traceback (most recent call last):\n"
        '    |   File "/app/jobs.py", line 7, in job\n'
        "    |     boom()\n"
        "    | ValueError: 3 is too many\n"
        "    +------------------------------------\n"
    )
    cause = root_cause(parse(text), Source())
    assert cause is not None
    assert (cause.file, cause.line, cause.function, cause.exception) == ("jobs.py", 7, "job", "ValueError")


def test_a_java_library_is_not_the_service():
    text = (
        'java.lang.NumberFormatException: For input string: "abc"\n'
        "\tat java.base/java.lang.Integer.parseInt(Integer.java:652)\n"
        "\tat com.acme.shop.Cart.total(Cart.java:31)\n"
        "\tat org.springframework.web.Servlet.doGet(Servlet.java:3)\n"
    )
    assert place(text)[:3] == ("Cart.java", 31, "com.acme.shop.Cart.total")


def test_a_plain_node_error_is_read_with_its_cause():
    plain = "Error: no plan\n    at run (/app/src/agent.js:3:9)\n"
    assert place(plain)[:4] == ("src/agent.js", 3, "run", "Error")
    caused = plain.rstrip() + " {\n  [cause]: TypeError: bad\n      at plan (/app/src/plan.js:9:1)\n}\n"
    assert place(caused)[:4] == ("src/plan.js", 9, "plan", "TypeError")


def test_a_method_of_go_keeps_its_name():
    text = (
        "panic: nil map\n\ngoroutine 1 [running]:\nmain.(*Server).handle(0xc0)\n\t/app/server.go:42 +0x1d\n"
        "created by main.serve in goroutine 1\n\t/app/main.go:20 +0x65\n"
    )
    assert place(text)[:3] == ("server.go", 42, "main.(*Server).handle")
    assert parse(text)[0].calls[0].function == "main.serve"


def test_source_in_a_container_or_a_copy_is_recognised():
    known = Source(files=frozenset({"agent_backend/core.py"}))
    assert known.relative("/elsewhere/copy/agent_backend/core.py") == "agent_backend/core.py"
    assert Source().relative("/app/main.py") == "main.py"
    assert Source().relative("main.py") == "main.py"
    assert Source().relative("/usr/lib/python3.12/asyncio/runners.py") is None
    assert Source("/work/service").relative("/work/service2/x.py") is None
    assert Source().relative("<frozen importlib._bootstrap>") is None


def test_node_java_and_go_in_their_plain_forms():
    node = "TypeError: x is undefined\n    at run (/app/src/agent.js:10:5)\n    at node:internal/main:1:1\n"
    assert place(node, Source()) == ("src/agent.js", 10, "run", "TypeError", "x is undefined")
    java = (
        "java.lang.RuntimeException: outer\n\tat com.netra.App.run(App.java:3)\n"
        "Caused by: java.lang.NullPointerException: orchestrator\n\tat com.netra.Core.go(Core.java:7)\n"
    )
    assert place(java, Source()) == ("Core.java", 7, "com.netra.Core.go", "NullPointerException", "orchestrator")
    go = "panic: nil map\n\ngoroutine 1 [running]:\nmain.run(0x1)\n\t/app/main.go:12 +0x1d\n"
    assert place(go, Source()) == ("main.go", 12, "main.run", "panic", "nil map")


def test_a_trace_in_a_json_payload_is_read(make):
    entry = make.entry("failed", payload={"message": "failed", "error": {"stack_trace": make.TRACEBACK}}, trace_id="t1")
    (one,) = thrown([entry], {"backend": SERVICE})
    assert (one.cause.line, one.trace_id, one.entries) == (544, "t1", (entry,))


def lines(make, text: str, start: float = 1, **more):
    return [make.entry(line, start + index / 1000, **more) for index, line in enumerate(text.splitlines())]


def test_a_trace_with_an_entry_per_line_is_put_together(make):
    entries = [make.entry("before", 0.5), *lines(make, make.TRACEBACK), make.entry("after", 1.1)]
    (one,) = thrown(entries, {"backend": SERVICE})
    assert one.cause.message == ORCHESTRATOR[-1]
    assert len(one.entries) == 7


def test_lines_of_other_streams_and_structured_entries_between_do_not_disturb(make):
    between = make.entry("hello", 1.0015, payload={"message": "hello"})
    other = lines(make, "stdout noise\n" * 5, log="stdout")
    entries = [*lines(make, make.TRACEBACK), between, *other]
    assert [one.cause.line for one in thrown(entries, {"backend": SERVICE})] == [544]


def test_a_chain_with_an_entry_per_line_stays_one(make):
    text = textwrap.dedent(chain_in_handling("raise RuntimeError('failed')", "RuntimeError: failed"))
    (one,) = thrown(lines(make, text), {"backend": SERVICE})
    assert one.cause.exception == "KeyError"


def test_two_traces_after_each_other_are_two(make):
    entries = [*lines(make, make.TRACEBACK), *lines(make, make.TRACEBACK, 2)]
    assert len(thrown(entries, {"backend": SERVICE})) == 2


def test_plain_words_about_errors_are_no_exception(make):
    assert thrown([make.entry("ERROR: it failed"), make.entry("Error: bad", 2)], {}) == []


@given(
    st.lists(
        st.sampled_from(
            ['  File "a.py", line 1, in f', "Traceback (most recent call last):", "E: x", "    at f (a:1:1)", "| +"]
        )
    )
)
def test_no_text_is_an_error(parts: list[str]):
    assert isinstance(parse("\n".join(parts)), list)
