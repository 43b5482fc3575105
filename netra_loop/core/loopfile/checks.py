"""What only the whole file can tell: names that refer to one another, phases nothing reaches, references in `${…}`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from netra_loop.core.loopfile.nodes import Mapping as MappingNode
from netra_loop.core.loopfile.nodes import Node, Place, Scalar, Sequence
from netra_loop.core.loopfile.problems import clip
from netra_loop.core.loopfile.shape import At, Filled, Path
from netra_loop.core.outcomes import DEFAULTS, NEXT, OUTCOMES
from netra_loop.core.spec import TARGETS
from netra_loop.core.template import ROOTS, Reference

Values = Mapping[str, Any]

_WHERE_KNOWN: dict[str, tuple[str, ...]] = {
    "vars": ("env",),
    "environments": ("env", "vars"),
    "services": ("env", "vars", "environment", "services", "git", "session", "iteration"),
    "auth": ("env", "vars", "environment", "services", "git", "session", "iteration"),
    "journeys": tuple(root for root in ROOTS if root not in {"image", "source"}),
}
_OF_A_BUILD = ("image", "source")
_EVERYWHERE_ELSE = tuple(root for root in ROOTS if root not in {"saved", *_OF_A_BUILD})
_EVERY_TEST = "every selected test is run and reported"
_OWN_ORDER = "what failed last time comes first by itself"
_OWN_WORKERS = "say tests.workers"
_NOT_FOR_ARGS = {
    **dict.fromkeys(("--collect-only", "--co"), "a loop runs its tests; netra-loop validate checks a loop file"),
    **dict.fromkeys(("-x", "--exitfirst", "--maxfail", "--sw", "--stepwise"), _EVERY_TEST),
    **dict.fromkeys(("--lf", "--last-failed", "--ff", "--failed-first", "--nf", "--new-first"), _OWN_ORDER),
    **dict.fromkeys(("-n", "--numprocesses", "--dist", "--tx", "-d"), _OWN_WORKERS),
    **dict.fromkeys(("--pdb", "--trace"), "nobody is there to answer a debugger"),
}
_ENVIRONMENT_NAMES = ("name", "cloud", "project", "region")


def check(root: Node, values: Values, at: At) -> None:
    """Adds a problem for everything that is wrong with `values` as a whole; `root` is the tree they came from."""
    names = _Names(root)
    if isinstance(root, MappingNode) and not {"tests", "journeys"} & root.entries.keys():
        at.wrong(root.place, "a loop needs 'tests' or 'journeys': there is nothing to run")
    _check_tiers(root, names, at)
    _check_stages(root, at)
    _check_args(root, at)
    _check_services(root, values, at)
    _check_phases(root, values, at)
    _check_commits(values, at)
    _check_waits(values, at)
    for filled in at.notes.filled:
        for reference in filled.template.references:
            _check_reference(reference, filled, names, values, at)


def _check_args(root: Node, at: At) -> None:
    """Refuses pytest's options that netra-loop answers for itself: they would be ignored, or hide tests."""
    args = _at(root, "tests", "args")
    for item in args.items if isinstance(args, Sequence) else ():
        if isinstance(item, Scalar) and item.text.partition("=")[0] in _NOT_FOR_ARGS:
            instead = _NOT_FOR_ARGS[item.text.partition("=")[0]]
            at.wrong(item.place, f"{clip(item.text)} has no effect here: {instead}")


class _Names:
    """The names a file gives, whether or not what they name is right: a mistake is reported once, where it is."""

    def __init__(self, root: Node) -> None:
        self.vars = _keys(root, "vars")
        self.services = _keys(root, "services")
        self.phases = _keys(root, "phases")
        self.tiers = tuple(scalar.text for scalar in _tier_names(root))
        self.root = root


def _at(node: Node | None, *path: str) -> Node | None:
    for key in path:
        if isinstance(node, MappingNode):
            node = node.entries[key][1] if key in node.entries else None
        elif isinstance(node, Sequence) and key.isdigit() and int(key) < len(node.items):
            node = node.items[int(key)]
        else:
            return None
    return node


def _keys(root: Node, *path: str) -> tuple[str, ...]:
    node = _at(root, *path)
    return tuple(node.entries) if isinstance(node, MappingNode) else ()


def _tier_names(root: Node) -> list[Scalar]:
    tiers = _at(root, "tiers")
    named = [_at(tier, "name") for tier in tiers.items] if isinstance(tiers, Sequence) else []
    return [name for name in named if isinstance(name, Scalar)]


def _check_tiers(root: Node, names: _Names, at: At) -> None:
    _check_once("tier", _tier_names(root), at)
    for journey in _keys(root, "journeys"):
        tier = _at(root, "journeys", journey, "tier")
        if isinstance(tier, Scalar) and tier.text not in names.tiers:
            at.wrong(tier.place, f"unknown tier {clip(tier.text)}", word=tier.text, known=names.tiers)


def _check_stages(root: Node, at: At) -> None:
    stages = _at(root, "stages")
    named: list[Scalar] = []
    for item in stages.items if isinstance(stages, Sequence) else ():
        named += [item] if isinstance(item, Scalar) else []
        named += [key for key, _ in item.entries.values()] if isinstance(item, MappingNode) else []
    _check_once("stage", named, at)


def _check_once(what: str, named: list[Scalar], at: At) -> None:
    first: dict[str, Place] = {}
    for scalar in named:
        if scalar.text in first:
            at.wrong(scalar.place, f"duplicate {what} {clip(scalar.text)}, first on line {first[scalar.text].line}")
        first.setdefault(scalar.text, scalar.place)


def _check_services(root: Node, values: Values, at: At) -> None:
    """What is deployed needs something to start, what is deployed at all a service; `needs` names services, and never
    in a circle.
    """
    phases: Values = values.get("phases", {})
    for name, phase in phases.items():
        if phase.get("uses") in {"deploy", "attach"} and "services" not in values:
            at.wrong(
                at.notes.places["phases", name],
                f"phase {clip(name)} uses {phase['uses']}, which needs 'services'",
            )
    environments: Values = values.get("environments") or {"local": {}}
    _check_google(environments, at)
    if any(phase.get("uses") == "deploy" for phase in phases.values()):
        for name in values.get("services", {}):
            _check_deployable(name, environments, at)
    _check_needs(root, values, at)


def _check_google(environments: Values, at: At) -> None:
    for name, environment in environments.items():
        place = at.notes.places.get(("environments", name))
        google = environment.get("cloud") == "google"
        for key in ("project", "region") if google else ():
            if place is not None and ("environments", name, key) not in at.notes.places:
                at.wrong(place, f"environment {clip(name)} is google's, which needs {key!r}")
        for key, of_google in (("endpoint", True), ("secrets", False)):
            where = at.notes.places.get(("environments", name, key))
            if where is not None and google is not of_google:
                belongs = "cloud: google" if of_google else "cloud: embedded; google's are in Secret Manager"
                at.wrong(where, f"{key!r} belongs to {belongs}")


def _check_deployable(name: str, environments: Values, at: At) -> None:
    has = {key for key in ("command", "image") if ("services", name, key) in at.notes.places}
    for environment in environments.values():
        cloud = environment.get("cloud", "embedded")
        if cloud == "embedded" and "command" not in has:
            at.wrong(at.notes.places["services", name], f"service {clip(name)} needs 'command', to be started by")
        elif cloud == "google" and "endpoint" not in environment and "image" not in has:
            at.wrong(at.notes.places["services", name], f"service {clip(name)} needs 'image', to be deployed to google")
        elif cloud == "google" and not has:
            at.wrong(at.notes.places["services", name], f"service {clip(name)} needs 'image' or 'command'")
        else:
            continue
        return


def _check_needs(root: Node, values: Values, at: At) -> None:
    services: Values = values.get("services", {})
    known = _keys(root, "services")
    for name, service in services.items():
        for number, needed in enumerate(service.get("needs", ())):
            node = _at(root, "services", name, "needs", str(number))
            assert node is not None
            if needed not in known:
                at.wrong(node.place, f"unknown service {clip(needed)} in needs", word=needed, known=known)
            elif name in _needed_by(needed, services):
                at.wrong(node.place, f"services need each other in a circle: {clip(name)} needs {clip(needed)}")


def _needed_by(service: str, services: Values) -> set[str]:
    """`service` and all that it needs, directly or not."""
    found: set[str] = set()
    waiting = [service]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += services.get(name, {}).get("needs", ())
    return found


def _check_phases(root: Node, values: Values, at: At) -> None:
    phases: Values = values.get("phases", {})
    order = list(_keys(root, "phases"))
    known = (*order, *TARGETS)
    sound = len(phases) == len(order)
    for name, phase in phases.items():
        for outcome, target in phase.get("next", {}).items():
            if target not in known:
                place = _at(root, "phases", name, "next", outcome)
                assert place is not None
                at.wrong(place.place, f"unknown phase {clip(target)} in next", word=target, known=known)
                sound = False
    if not sound or not order or any("uses" not in phase for phase in phases.values()):
        return  # what is reached cannot be told
    reached = _reached(phases, order)
    for name in order:
        if name not in reached and name not in TARGETS:  # a phase called like a target was reported as such
            message = (
                f"nothing reaches phase {clip(name)}: no next names it, and the phase before it never goes on to it"
            )
            at.wrong(at.notes.places["phases", name], message)


def _check_commits(values: Values, at: At) -> None:
    """A commit is made in a place of the session's own, never in the checkout."""
    if values.get("workspace", {}).get("git", "none") != "none":
        return
    for name, phase in values.get("phases", {}).items():
        if phase.get("uses") == "commit":
            at.wrong(
                at.notes.places["phases", name],
                f"phase {clip(name)} uses commit, which needs workspace: {{git: worktree}} or {{git: copy}}",
            )


def _check_waits(values: Values, at: At) -> None:
    """A revision is of a service; a branch belongs to a commit, and to a repository that the session works in."""
    for name, phase in values.get("phases", {}).items():
        given = phase.get("with_", {}) if phase.get("uses") == "wait" else {}
        if given.get("for") == "revision" and "services" not in values:
            place = at.notes.places["phases", name]
            at.wrong(place, f"phase {clip(name)} waits for a revision, which needs 'services'")
        if "ref" not in given:
            continue
        place = at.notes.places.get(("phases", name, "with", "ref"), at.notes.places["phases", name])
        if given.get("for") != "commit":
            at.wrong(place, "'ref' belongs to for: commit")
        elif values.get("workspace", {}).get("git") == "copy":
            at.wrong(place, "'ref' is a branch of the checkout, which workspace: {git: copy} knows nothing of")


def _reached(phases: Values, order: list[str]) -> set[str]:
    reached: set[str] = set()
    waiting = [order[0]]
    while waiting:
        name = waiting.pop()
        if name in reached or name in TARGETS:
            continue
        reached.add(name)
        waiting += after(name, phases, order)
    return reached


def after(name: str, phases: Values, order: list[str]) -> set[str]:
    """The phases that may come right after the one of that name; `order` are all names as the file has them."""
    phase = phases[name]
    targets = {phase.get("next", {}).get(outcome, DEFAULTS[outcome]) for outcome in OUTCOMES[phase["uses"]]}
    found = {target for target in targets if target not in {NEXT, *TARGETS}}
    if targets & {NEXT, "pause"}:  # a resume after a pause goes on in order
        found |= {following for one, following in itertools.pairwise(order) if one == name}
    return found


def _check_reference(reference: Reference, filled: Filled, names: _Names, values: Values, at: At) -> None:
    place = filled.scalar.place_of(reference.offset)
    root, _, rest = reference.name.partition(".")
    part = filled.path[0]
    if root in _OF_A_BUILD and part == "services" and filled.path[2] == "build":
        if root == "image" and ("services", filled.path[1], "image") not in at.notes.places:
            at.wrong(place, f"{reference} is not known: service {clip(filled.path[1])} has no image")
    elif root not in _WHERE_KNOWN.get(part, _EVERYWHERE_ELSE):
        at.wrong(place, f"{reference} is not known in {part}")
    elif root == "vars" and rest not in names.vars:
        at.wrong(
            place,
            f"unknown variable {clip(reference.name)}: vars has no {clip(rest)}",
            word=rest,
            known=names.vars,
        )
    elif root == "environment" and rest not in _ENVIRONMENT_NAMES:
        message = f"unknown variable {clip(reference.name)}, expected {', '.join(_ENVIRONMENT_NAMES)} of environment"
        at.wrong(place, message, word=rest, known=_ENVIRONMENT_NAMES)
    elif root == "services":
        _check_service(reference, rest.rpartition(".")[0], place, filled.path, values, names, at)
    elif root == "saved":
        saved = _saved_before(filled.path, names.root)
        if rest not in saved:
            at.wrong(place, f"{reference} is saved by no earlier step of this journey", word=rest, known=saved)


def _check_service(
    reference: Reference, service: str, place: Place, path: Path, values: Values, names: _Names, at: At
) -> None:
    known = names.services
    if service not in known:
        at.wrong(place, f"unknown service {clip(service)} in {reference}", word=service, known=known)
    elif path[0] == "services" and not _before(service, path[1], known, values.get("services", {})):
        at.wrong(place, f"{reference} is not known here: {service!r} is deployed no earlier than {path[1]!r}")


def _before(service: str, other: str, known: tuple[str, ...], services: Values) -> bool:
    """Whether `service` is deployed before `other` for sure: `other` needs it, or stands after it where nothing is said
    of needs.
    """
    if any(value.get("needs") for value in services.values()):
        return service != other and service in _needed_by(other, services)
    return known.index(service) < known.index(other)


def _saved_before(path: Path, root: Node) -> tuple[str, ...]:
    """The names saved by the steps of a journey before the one that `path` leads into."""
    if len(path) < 4 or path[2] != "steps":
        return ()
    steps = [_keys(root, *path[:3], str(number), "request", "save") for number in range(int(path[3]))]
    return tuple(name for step in steps for name in step)
