"""`python -m agent_backend`: serves until SIGTERM or SIGINT. Exit code 2 means that the environment was not usable."""

import asyncio
import os
import sys

from agent_backend import logs
from agent_backend.server import serve_until_stopped
from agent_backend.settings import Settings, SettingsError


def main() -> int:
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        logs.configure(project="")
        logs.logger.critical("cannot start: %s", error)
        return 2
    logs.configure(project=settings.project)
    asyncio.run(serve_until_stopped(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
