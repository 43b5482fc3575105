"""What a test is given, by what is known of its session: told apart from how that comes to be known, since the tests'
interpreter may be told before anything else is.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from netra_loop.core.spec import LoopSpec
from netra_loop.errors import UsageError
from netra_loop.execution.options import PoolOptions
from netra_loop.phases.scope import Scope, websocket_url

SESSION_VARIABLE = "NETRA_LOOP_SESSION"  # by it all that a session starts is known
_GIVEN_ELSEWHERE = frozenset(
    f"NETRA_LOOP_{name}"
    for name in (
        *("SESSION", "ITERATION", "ENV", "REVISION", "URL", "WS_URL", "TOKEN"),
        *("BRIEF", "BRIEF_JSON", "WORKSPACE", "ATTEMPT", "NOTE", "CLAIM"),
    )
)


def options_within(scope: Scope, revision: str | None = None) -> PoolOptions:
    """What a pool runs the tests by, from whatever `scope` knows; `revision` as below. Raises UsageError where their
    interpreter is not found, and for a variable without a value.
    """
    spec, tests = scope.spec, scope.spec.tests
    assert tests is not None
    root = spec.root_dir
    return PoolOptions(
        python=interpreter(spec, scope),
        root=root,
        paths=tuple(_test_path(spec, root, scope.text(path)) for path in tests.paths),
        args=tuple(scope.text(word) for word in tests.args),
        env=environment_within(scope, revision),
        workers=tests.workers,
        timeout_s=tests.timeout_s,
        isolation=tests.isolation,
        testrun_uid=scope.session,
    )


def environment_within(scope: Scope, revision: str | None) -> Mapping[str, str]:
    """All of the tests' environment: the machine's, the session's, and the loop's own `tests.env` over both. `revision`
    is the first service's short name, None before there is one. Raises UsageError for a variable in `tests.env`, or in
    a service's `url`, that is not set, or not known yet.
    """
    tests = scope.spec.tests
    own = {} if tests is None else {name: scope.text(value) for name, value in tests.env.items()}
    return {**session_within(scope, revision), **own}


def session_within(scope: Scope, revision: str | None) -> dict[str, str]:
    """The same without `tests.env`: what every command of the session is given, with `NETRA_LOOP_…` as contracted.
    Raises UsageError for a variable in a service's `url`.
    """
    spec = scope.spec
    # netra-loop may itself run inside another one's test, whose variables say nothing about this session
    given = {name: value for name, value in scope.environ.items() if name not in _GIVEN_ELSEWHERE}
    given |= {
        SESSION_VARIABLE: scope.session,
        "NETRA_LOOP_ITERATION": str(scope.iteration),
        "NETRA_LOOP_ENV": scope.environment,
    }
    for place, service in enumerate(spec.services):
        url = scope.service_url(service)
        if url is None:
            continue
        given[f"NETRA_LOOP_URL_{service.upper().replace('-', '_')}"] = url
        if place == 0:
            given |= {"NETRA_LOOP_URL": url, "NETRA_LOOP_WS_URL": websocket_url(url) or ""}
    if revision is not None:
        given["NETRA_LOOP_REVISION"] = revision
    if scope.token is not None:
        given["NETRA_LOOP_TOKEN"] = scope.token
    return given


def interpreter(spec: LoopSpec, scope: Scope) -> Path:
    """The tests' interpreter: an absolute path, one relative to the loop file, or a name on PATH."""
    assert spec.tests is not None
    if spec.tests.python is None:
        return Path(sys.executable)
    named = scope.text(spec.tests.python)
    if "/" in named:
        # Not resolved: a virtual environment's python is a link, and following it would leave the environment.
        path = spec.home_dir / Path(named).expanduser()
        if path.is_file():
            return path
    else:
        found = shutil.which(named, path=scope.environ.get("PATH"))
        if found is not None:
            return Path(found)
    raise UsageError(
        f"the tests' interpreter {named!r} was not found",
        hint=f"mend tests.python in {spec.path.name}, or make it: python -m venv … && … pip install pytest",
    )


def _test_path(spec: LoopSpec, root: Path, given: str) -> str:
    """A path of the loop file as pytest takes it, relative to its working directory where it lies there, so that node
    ids read as in a plain pytest. A `::` part is kept.
    """
    file, separator, node = given.partition("::")
    path = (spec.base_dir / file).resolve()
    shown = str(path.relative_to(root.resolve()) if path.is_relative_to(root.resolve()) else path)
    return f"{'./' if shown.startswith('-') else ''}{shown}{separator}{node}"  # a name, never an option
