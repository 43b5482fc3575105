"""The loop file's JSON Schema (draft 2020-12), drawn from the grammar that reads it, for editors and validators."""

from __future__ import annotations

from typing import Any

from netra_loop.core.loopfile.grammar import LOOP

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """A new schema document. It knows keys, shapes and words; what refers to what only `loopfile.load` can tell."""
    return {
        "$schema": DIALECT,
        "title": "netra-loop loop file",
        "description": "What to deploy, what to test, in which phases, and when the goal is met.",
        **LOOP.schema(),
        "anyOf": [{"required": ["tests"]}, {"required": ["journeys"]}],
    }
