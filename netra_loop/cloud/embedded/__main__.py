"""`python -m netra_loop.cloud.embedded --state DIR [--seed FILE] [--lifeline-fd N]`: runs the embedded cloud.

Prints one line of JSON, `{"endpoint": …}`, once it serves, and closes its output as soon as it is asked to end. Exit
code 5: another one runs on the folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from netra_loop.cloud.embedded.server import FolderHeld, Whereabouts, serve
from netra_loop.cloud.embedded.vault import Vault
from netra_loop.cloud.embedded.withheld import Withheld
from netra_loop.core.secret_values import redactor_of


def main() -> int:
    """The process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m netra_loop.cloud.embedded", description="A small Cloud Run.")
    parser.add_argument("--state", type=Path, required=True, help="folder for everything it keeps")
    parser.add_argument("--seed", type=Path, help="resources.json of another state folder, to begin with")
    parser.add_argument("--lifeline-fd", type=int, help="ends when this inherited pipe does")
    parser.add_argument("--secrets-stdin", action="store_true", help="reads a JSON object of secrets from its input")
    parser.add_argument("--known-stdin", action="store_true", help='reads {"secrets": {…}, "hidden": {…}, …} instead')
    given = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        known = json.loads(sys.stdin.read()) if given.known_stdin else {}
        vault = Vault(known["secrets"]) if known else Vault.of_json(sys.stdin.read() if given.secrets_stdin else "")
        hidden = known.get("hidden")
        withheld = Withheld(known.get("withheld", {}), None if hidden is None else redactor_of(hidden))
        asyncio.run(_serve(given.state.absolute(), given.seed, given.lifeline_fd, vault, withheld))
    except FolderHeld as held:
        logging.getLogger(__name__).error("%s", held)  # noqa: TRY400  # one sentence, no trace
        return 5
    return 0


async def _serve(folder: Path, seed: Path | None, lifeline: int | None, vault: Vault, withheld: Withheld) -> None:
    ready: asyncio.Future[Whereabouts] = asyncio.get_running_loop().create_future()
    ready.add_done_callback(lambda done: _say(done.result()))
    await serve(folder, seed=seed, lifeline=lifeline, ready=ready, vault=vault, withheld=withheld, leaving=_end_output)


def _end_output() -> None:
    """Whoever started it learns by this that it serves no longer, see `vital`."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _say(where: Whereabouts) -> None:
    print(json.dumps({"endpoint": where.endpoint}), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
