"""A brief for people, in Markdown: short enough to be read whole.

What tests, services and fixers said stands in fences, each thing on one line, so that it cannot pose as the brief's own
words. The first findings are told in full, the others in few lines, and what is left is counted.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

_FULL = 3  # findings told in full
_SHORT = 7  # and in few lines
_TESTS, _MOMENTS, _WHYS, _NOTES = 5, 10, 8, 2
_NEAR = 3  # lines of source before and after, where they are shown
_WIDTH = 220

Row = Mapping[str, Any]


def brief_markdown(brief: Row) -> str:
    """`brief` is what `brief_json` made."""
    lines = [f"# Brief: {brief['session']}, iteration {brief['iteration']}", ""]
    lines += _said_no(brief["said_no"])
    findings = brief["findings"]
    for number, finding in enumerate(findings[: _FULL + _SHORT], 1):
        lines += _finding(number, finding, full=number <= _FULL)
    left = len(findings) - _FULL - _SHORT + brief["left_out"]
    if left > 0:
        lines += [f"{left} more findings: see `netra-loop findings {brief['session']}`.", ""]
    if brief["left_to_others"]:
        lines += [f"{brief['left_to_others']} more are not for a fixer: the environment's or the deploy's.", ""]
    if not findings:
        lines += ["There is no finding that a change of source could mend.", ""]
    else:
        lines += _rerun(brief)
    return "\n".join(lines)


def _finding(number: int, finding: Row, *, full: bool) -> list[str]:
    told = [finding["state"], finding["symptom"], finding["cause"]]
    head = f"## {number}. {finding['id']} ({', '.join(told)}), since iteration {finding['first_iteration']}"
    lines = [head, "", *_fenced([*_headline(finding), *_place(finding, full=full)])]
    if full:
        whys = [_one_line(why.partition("\n")[0].removesuffix(":")) for why in finding["whys"]]
        shown = whys if len(whys) <= _WHYS else [*whys[: _WHYS - 2], *whys[-2:]]
        lines += ["Whys:", "", *_fenced([f"{place}. {why}" for place, why in enumerate(shown, 1)])] if whys else []
        lines += _evidence(finding["evidence"])
    lines += _attempts(finding, full=full)
    return lines


def _headline(finding: Row) -> list[str]:
    lines = [_one_line(finding["title"])]
    if finding["impact"]:
        lines.append(f"impact: {_one_line(finding['impact'])}")
    before, stage = finding["stage_before"], finding["stage"]
    if before is not None and stage is not None and before != stage:
        lines.append(f"stage: {_one_line(before)} -> {_one_line(stage)}")
    elif stage is not None:
        lines.append(f"stage: {_one_line(stage)}")
    if finding["seen"] is not None:
        lines.append(_one_line(_seen(finding["seen"])))
    ids = finding["test_ids"]
    more = finding["tests_in_all"] - _TESTS
    said = {test["id"]: test for test in finding["tests"]}
    for test in ids[: _TESTS - 1 if more > 0 else _TESTS]:
        told = said.get(test)
        words = f": {told['outcome']}: {told['message'] or ''}" if told is not None else ""
        lines.append(_one_line(f"test: {test}{words}"))
    if more > 0:
        lines.append(f"and {more + 1} more tests")
    return lines


def _seen(seen: Row) -> str:
    """What earlier sessions saw."""
    fixed = seen["fixed"]
    many = f"{seen['sessions']} earlier session{'' if seen['sessions'] == 1 else 's'}"
    said = f"history: seen in {many}, first in {seen['first_session']} ({seen['first_at'][:10]})"
    if fixed is None:
        return f"{said}; never seen fixed"
    commit = f", commit {fixed['commit'][:12]}" if fixed["commit"] else ""
    by = f" by {fixed['revision']}{commit}" if fixed["revision"] else ""
    return f"{said}; last fixed in {fixed['session']}, iteration {fixed['iteration']}{by}"


def _place(finding: Row, *, full: bool) -> list[str]:
    place, cause = finding["place"], finding["root_cause"]
    if cause is None:
        return []
    where = place["path"] if place is not None else cause["file"]
    many = f"in {cause['entries']} log entr{'y' if cause['entries'] == 1 else 'ies'}"
    raised = f"{cause['exception']}: {cause['message']}"
    lines = [_one_line(f"raised at {where}:{cause['line']} in {cause['function']}, {many}: {raised}")]
    if place is None:
        return lines
    near = _NEAR if full else 0
    for row in place["source"]:
        if abs(row["line"] - place["line"]) <= near:
            mark = ">" if row["line"] == place["line"] else " "
            lines.append(f"{mark} {row['line']:>5} | {row['text']}"[:_WIDTH])
    return lines


def _evidence(evidence: Row | None) -> list[str]:
    if evidence is None:
        return []
    moments = evidence["moments"]
    kept = _kept(moments)
    lines = [_one_line(f"{evidence['test']}, attempt {evidence['attempt']}, seconds after it began:")]
    for row in kept:
        times = f" ({row['times']} times)" if row["times"] > 1 else ""
        lines.append(_one_line(f"{row['after_s']:8.3f} {row['source']:<9} {row['text']}{times}", strip=False))
    left = len(moments) - len(kept) + evidence["left_out"]
    if left > 0:
        lines.append(f"and {left} more in the JSON, or: netra-loop logs")
    return ["Evidence:", "", *_fenced(lines)]


def _kept(moments: Sequence[Row]) -> list[Row]:
    """The first and the last of them: what went well, and how it ended."""
    if len(moments) <= _MOMENTS:
        return list(moments)
    return [*moments[:3], *moments[-(_MOMENTS - 3) :]]


def _attempts(finding: Row, *, full: bool) -> list[str]:
    told = finding["attempts"][-(_NOTES if full else 1) :]
    if not told:
        return []
    lines = []
    for one in told:
        words = [f"iteration {one['iteration']}, {one['phase']}", _became(one), _helped(one)]
        lines.append(_one_line("; ".join(word for word in words if word)))
        if one["note"] and full:
            lines.append(f"  {_one_line(one['note'])}")
    before = finding["attempts_in_all"] - len(told)
    title = "Tried before:" if before <= 0 else f"Tried before ({before} earlier ones are in the JSON):"
    return [title, "", *_fenced(lines)]


def _became(one: Row) -> str:
    if one["refused"]:
        return f"refused, for it changed {', '.join(one['refused'][:3])}"
    if one["commit"] is None:
        return "changed nothing" if not one["changed"] else "was not committed"
    return f"committed {one['commit'][:12]} {one['subject'] or ''}"


def _helped(one: Row) -> str:
    verdict = f"claim {one['verdict']}{' by ' + one['revision'] if one['revision'] else ''}" if one["verdict"] else ""
    if one["tests_after"] is None:
        return verdict
    stages = one["stage_before"], one["stage_after"]
    stage = f", {stages[0]} -> {stages[1]}" if all(stages) and stages[0] != stages[1] else ""
    counts = f"{one['tests_before']} -> {one['tests_after']} tests fail{stage}"
    return "; ".join(word for word in (verdict, counts) if word)


def _said_no(said: Row | None) -> list[str]:
    if said is None:
        return []
    tail = [_one_line(line) for line in str(said["output"]).strip().splitlines()[-8:]]
    return [f"`{said['phase']}` said no to the last try:", "", *_fenced([_one_line(said["summary"]), *tail])]


def _rerun(brief: Row) -> list[str]:
    first = next((one for one in brief["findings"] if one["rerun"]), None)
    lines = []
    if first is not None:
        env = [f"{name}={shlex.quote(value)}" for name, value in brief["env"].items()]
        words = shlex.join([*first["rerun"][:4]])
        lines += [f"cd {shlex.quote(brief['cwd'])}", *(_one_line(f"export {one}") for one in env), _one_line(words)]
    else:
        lines.append(f"netra-loop run {brief['loop']}")
    return ["## To run it again", "", "Against the revision that is deployed now; for each finding see `rerun`:", "",
            *_fenced(lines)]  # fmt: skip


def _one_line(text: str, *, strip: bool = True) -> str:
    line = " ".join(text.split()) if strip else " ".join(text.splitlines())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _fenced(lines: Sequence[str]) -> list[str]:
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return [f"{fence}text", *lines, fence, ""]
