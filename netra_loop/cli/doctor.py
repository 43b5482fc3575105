"""`netra-loop doctor`: whether this machine, and a loop's environment, have all that a session needs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    context: typer.Context,
    loop: Annotated[
        str | None, typer.Argument(metavar="[LOOP]", help="A path, or a name looked up as loops/NAME.yaml.")
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", metavar="NAME", help="The loop file's environment to look at.")
    ] = None,
    var: Annotated[
        list[str] | None, typer.Option("--var", metavar="K=V", help="Set a variable of the loop file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output: one JSON object a line.")] = False,
) -> None:
    """Check interpreters, store, cloud, permissions and reachability, and say what mends each; nothing is changed."""
    import asyncio

    from netra_loop.doctor.base import Status
    from netra_loop.doctor.examination import examine
    from netra_loop.settings import read

    settings = read(context.obj)
    given = _given(var or [])

    async def main() -> bool:
        failed = False
        async for line in examine(settings, loop, env, given):
            failed = failed or line.status is Status.FAIL
            _show(line.check, line.status.value, line.detail, line.mend, as_json=as_json)
        return failed

    raise typer.Exit(3 if asyncio.run(main()) else 0)


def _given(pairs: list[str]) -> dict[str, str]:
    from netra_loop.errors import UsageError

    found = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--var {pair!r} names no value, expected K=V", hint="for example: --var user=me")
        found[name] = value
    return found


def _show(check: str, status: str, detail: str, mend: str, *, as_json: bool) -> None:
    from netra_loop.report.safe import safe_line

    if as_json:
        from netra_loop.core.writable import json_text

        told = {"check": check, "status": status, "detail": detail, "mend": mend}
        sys.stdout.write(json_text(told) + "\n")
    else:
        shown = typer.style(f"{status:<4}", fg=_STYLES[status]) if sys.stdout.isatty() else f"{status:<4}"
        sys.stdout.write(f"{shown}  {safe_line(check)}: {safe_line(detail)}\n")
        if mend and status != "ok":
            sys.stdout.write(f"      -> {safe_line(mend)}\n")
    sys.stdout.flush()
