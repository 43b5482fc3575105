"""Knows when pytest sets up and tears down a fixture that more than one test shares. Its end comes in the time of
whichever test is the last to use it, and is none of its doing; what it forks serves all the tests that use it.
"""

from __future__ import annotations

from typing import Any

from . import evidence, whose
from .wrapping import quietly, wrap


def install(module: Any) -> None:
    """Wraps the setup and the end of fixtures, those of classes' and modules' own setups among them."""

    def executing(original: Any) -> Any:
        def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if self.scope == "function":
                return original(self, *args, **kwargs)
            evidence.shared(1)
            quietly(whose.shared, 1)
            try:
                return original(self, *args, **kwargs)
            finally:
                quietly(whose.shared, -1)
                evidence.shared(-1)

        return execute

    def finishing(original: Any) -> Any:
        def finish(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if self.scope == "function":
                return original(self, *args, **kwargs)
            evidence.apart(1)
            whose.pause(1)
            try:
                return original(self, *args, **kwargs)
            finally:
                whose.pause(-1)
                evidence.apart(-1)

        return finish

    wrap(module.FixtureDef, "execute", executing)
    wrap(module.FixtureDef, "finish", finishing)
