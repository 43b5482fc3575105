"""The command that goes on with a session, as it can be copied into a shell.

A variable whose value is a secret is not stored, so the command takes it from the shell: `--var api_key="$API_KEY"`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping


def resume_command(command: str, session: str, kept: Mapping[str, str]) -> str:
    """`netra-loop resume SESSION` with what has to be given again; `kept` are the session's variables as stored."""
    again = [f'--var {name}="${variable}"' for name, variable in to_be_set(kept).items()]
    return " ".join([command, "resume", session, *again])


def first(kept: Mapping[str, str]) -> str:
    """What has to be done before that command, in words; empty where nothing has."""
    wanted = [f"set {variable} to the value of {name}" for name, variable in to_be_set(kept).items()]
    if not wanted:
        return ""
    which = "a secret" if len(wanted) == 1 else "secrets"
    return f"first {', and '.join(wanted)}, {which} and therefore not stored"


def to_be_set(kept: Mapping[str, str]) -> dict[str, str]:
    """The shell's variable for each loop variable whose value is not stored."""
    if not kept:
        return {}
    from netra_loop.core.redact import MARK  # with patterns that take a while to make, and most loops have no variables

    return {name: _of_shell(name) for name, value in kept.items() if value == MARK}


def _of_shell(name: str) -> str:
    """`API_KEY` for `api_key`; one that no shell has for something else, as `$PATH` or `$HOME`."""
    from netra_loop.core.secret_names import names_secret  # likewise

    plain = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    return plain if names_secret(name) and not plain[:1].isdigit() else f"VALUE_OF_{plain}"
