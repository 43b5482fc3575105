"""A brief for people, in Markdown: short enough to be read whole.

What tests, services and fixers said stands in fences, each thing on one line, so that it cannot pose as the brief's own
words. The first findings are told in full, the others in few lines, and what is left is counted.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from netra_loop.core.claims import CLAIMED
from netra_loop.core.timeline import chosen

_BLANK = "\n\n"  # between a note's first line and the rest
_SHOWN = 10  # findings
_FULL, _FULL_OF_MANY = 3, 2  # those told in full; fewer where there are more than five
_TESTS, _MOMENTS, _WHYS, _TRIED, _SAID_NO = 3, 9, 8, 2, 5
_NEAR = 2  # lines of source before and after the one that is meant
_WIDTH = 220

Row = Mapping[str, Any]


def brief_markdown(brief: Row) -> str:
    """`brief` is what `brief_json` made."""
    lines = [f"# Brief: {brief['session']}, iteration {brief['iteration']}", ""]
    lines += _said_no(brief["said_no"])
    findings = brief["findings"]
    full = _FULL if len(findings) <= 5 else _FULL_OF_MANY
    for number, finding in enumerate(findings[:_SHOWN], 1):
        lines += _finding(number, finding, full=number <= full)
    left = len(findings) - _SHOWN + brief["left_out"]
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
    """One fence for all: what was said by others stands in it on lines of its own, indented below our words."""
    told = [finding["state"], finding["symptom"], finding["cause"]]
    head = f"## {number}. {finding['id']} ({', '.join(told)}), since iteration {finding['first_iteration']}"
    lines = [_one_line(finding["title"]), *_facts(finding, full=full), *_tests(finding, full=full)]
    lines += _place(finding, full=full)
    if full:
        lines += [*_whys(finding), *_evidence(finding["evidence"])]
    return [head, "", *_fenced([*lines, *_attempts(finding, full=full)])]


def _facts(finding: Row, *, full: bool) -> list[str]:
    before, stage = finding["stage_before"], finding["stage"]
    moved = f"{before} -> {stage}" if before is not None and before != stage else stage
    facts = [f"impact: {finding['impact']}"] if finding["impact"] else []
    facts += [f"stage: {moved}"] if stage is not None else []
    seen = [_seen(finding["seen"])] if finding["seen"] is not None else []
    together = ["; ".join(facts), *seen] if full else ["; ".join((*facts, *seen))]
    return [_one_line(line) for line in together if line]


def _tests(finding: Row, *, full: bool) -> list[str]:
    said = {test["id"]: test for test in finding["tests"]}
    lines = []
    for test in finding["test_ids"][: _TESTS if full else 1]:
        told = said.get(test)
        words = f": {told['outcome']}: {told['message'] or ''}" if told is not None else ""
        lines.append(_one_line(f"{test}{words}"))
    if not lines:
        return []
    many = finding["tests_in_all"]
    if not full:
        return [f"{many} tests, such as {lines[0]}"] if many > 1 else [f"test: {lines[0]}"]
    more = [f"  and {many - len(lines)} more"] if many > len(lines) else []
    return [f"{many} test{'' if many == 1 else 's'}:", *(f"  {line}" for line in lines), *more]


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
    for row in place["source"] if place is not None and full else ():
        if abs(row["line"] - place["line"]) <= _NEAR:
            mark = ">" if row["line"] == place["line"] else " "
            lines.append(f"  {mark} {row['line']:>5} | {row['text']}"[:_WIDTH].rstrip())
    return lines


def _whys(finding: Row) -> list[str]:
    """Their first lines; where there are many, the first and the last."""
    told = [_one_line(why.partition("\n")[0].removesuffix(":")) for why in finding["whys"]]
    numbered = [f"  {number}. {why}" for number, why in enumerate(told, 1)]
    if len(numbered) > _WHYS:
        numbered = [*numbered[: _WHYS - 3], *numbered[-3:]]
    return ["why:", *numbered] if numbered else []


def _evidence(evidence: Row | None) -> list[str]:
    if evidence is None:
        return []
    moments = evidence["moments"]
    kept = [moments[place] for place in chosen([row["telling"] for row in moments], _MOMENTS)]
    left = len(moments) - len(kept) + evidence["left_out"]
    more = f", {left} more in the JSON" if left > 0 else ""
    lines = [_one_line(f"seen, in seconds from the beginning of {evidence['test']}{more}:")]
    for row in kept:
        times = f" ({row['times']} times)" if row["times"] > 1 else ""
        lines.append(f"  {row['after_s']:8.3f} {row['source']:<9} {_one_line(row['text'] + times)}")
    return lines


def _attempts(finding: Row, *, full: bool) -> list[str]:
    told = finding["attempts"][-(_TRIED if full else 1) :]
    lines = []
    for one in told:
        words = [f"iteration {one['iteration']}, {one['phase']}{_attempt(one)}", _became(one), _helped(one)]
        lines.append(_one_line("; ".join(word for word in words if word)))
        if one["note"] and full:
            lines.append(f"    {_one_line(one['note'].strip().replace(_BLANK, ': ', 1))}")
    if not full:
        return [f"tried before: {line}" for line in lines]
    before = finding["attempts_in_all"] - len(told)
    title = "tried before:" if before <= 0 else f"tried before ({before} earlier ones are in the JSON):"
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _attempt(one: Row) -> str:
    return f" (attempt {one['attempt']})" if one["attempt"] > 1 else ""


def _became(one: Row) -> str:
    if one["refused"]:
        return f"refused, for it changed {', '.join(one['refused'][:3])}"
    if one["commit"] is None:
        return "changed nothing" if not one["changed"] else "was not committed by itself"
    return f"committed {one['commit'][:12]} {one['subject'] or ''}"


def _helped(one: Row) -> str:
    by = f" by {one['revision']}" if one["revision"] else ""
    said = "not judged yet" if one["verdict"] == CLAIMED else f"{one['verdict']}{by}"
    verdict = f"claim {said}" if one["verdict"] else ""
    if one["tests_after"] is None:
        return verdict
    stages = one["stage_before"], one["stage_after"]
    stage = f", {stages[0]} -> {stages[1]}" if all(stages) and stages[0] != stages[1] else ""
    counts = f"{one['tests_before']} -> {one['tests_after']} tests fail{stage}"
    return "; ".join(word for word in (verdict, counts) if word)


def _said_no(said: Row | None) -> list[str]:
    if said is None:
        return []
    tail = [_one_line(line) for line in str(said["output"]).strip().splitlines()[-_SAID_NO:]]
    return [f"`{said['phase']}` said no to the last try:", "", *_fenced([_one_line(said["summary"]), *tail])]


def _rerun(brief: Row) -> list[str]:
    first = next((one for one in brief["findings"] if one["rerun"]), None)
    lines = []
    if first is not None:
        env = [f"{name}={shlex.quote(value)}" for name, value in brief["env"].items()]
        words = shlex.join(first["rerun"][: len(brief["pytest"]) + 1])
        lines += [f"cd {shlex.quote(brief['cwd'])}", *(_one_line(f"export {one}") for one in env), _one_line(words)]
    else:
        lines.append(f"netra-loop run {brief['loop']}")
    return ["## To run it again", "", "Against the revision that is deployed now; for each finding see `rerun`:", "",
            *_fenced(lines)]  # fmt: skip


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _fenced(lines: Sequence[str]) -> list[str]:
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return [f"{fence}text", *lines, fence, ""]
