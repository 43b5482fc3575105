"""The commands, and as much of the command line as what was typed needs.

Understanding `netra-loop list` takes neither the other commands' modules nor pydantic, which Typer coerces values with:
together they would be a third of what it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command

from netra_loop import __version__
from netra_loop.cli.words import OPENING, first_of, store_first

_PLACES: Mapping[str, tuple[str, str]] = {
    "run": ("run", "run"),
    "resume": ("run", "resume"),
    "stop": ("stop", "stop"),
    "list": ("inspect", "list_sessions"),
    "status": ("inspect", "status"),
    "results": ("inspect", "results"),
    "findings": ("inspect", "findings"),
    "logs": ("inspect", "logs"),
    "journal": ("inspect", "journal"),
    "bisect": ("bisect", "bisect"),
    "validate": ("inspect", "validate"),
    "schema": ("inspect", "schema"),
    "watch": ("watch", "watch"),
    "doctor": ("doctor", "doctor"),
    "cloud": ("cloud", "cloud"),
}
"""Module of this room and function, by command, in the order of `--help`."""
_HELP = ["-h", "--help"]


def command_line(names: Iterable[str] = _PLACES) -> Any:
    """What understands a command line with these commands; to be called with a list of words."""
    app = typer.Typer(
        name="netra-loop",
        help="Deploy a revision, run the golden path against it, tell the truth about it, go round until it holds.",
        no_args_is_help=True,
        context_settings={"help_option_names": _HELP},
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in names:
        module, function = _PLACES[name]
        app.command(name)(getattr(import_module(f"netra_loop.cli.{module}"), function))
    whole: Any = get_command(app)
    for command in (whole, *whole.commands.values()):
        for parameter in (*command.params, command.get_help_option(typer.Context(command, help_option_names=_HELP))):
            _leave_texts(parameter)
    return whole


def understand(arguments: list[str], opening: object = None) -> None:
    """Does what `arguments` say. Ends with SystemExit, or with an error of the command's."""
    first = first_of(arguments)
    if first is not None and first in _PLACES:
        understood = command_line([first])
    else:
        understood = command_line([] if first == "--version" else _PLACES)
    understood(store_first(arguments), obj=opening)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"netra-loop {__version__}")
        raise typer.Exit


def _options(
    context: typer.Context,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="NETRA_LOOP_STORE",
            help="Where sessions are kept. Default: SQLite in .netra-loop/ beside the folder loops/.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    del version  # answered by its callback
    context.meta[OPENING] = context.obj
    context.obj = store


def _leave_texts(parameter: Any) -> None:
    """Has `parameter` take plain texts, and nothing, as they are; Typer would have pydantic look at those, too."""
    coercing = getattr(parameter, "get_runtime_param", None)
    if coercing is not None:  # Typer before 0.20 coerces by itself
        parameter.get_runtime_param = lambda: _Texts(coercing, parameter.type_descriptor.annotation)


class _Texts:
    """Stands for what Typer coerces values with, and asks that only where there is something to coerce."""

    def __init__(self, coercing: Any, meant: Any) -> None:
        self._coercing = coercing
        self._meant = meant

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        if self._meant is str and isinstance(value, str) and value.isascii():
            return value
        if self._meant == list[str] and many and all(isinstance(one, str) and one.isascii() for one in value):
            return list(value)
        return self._coercing().coerce(value, param=param, ctx=ctx)
