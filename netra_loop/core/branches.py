"""Work as a tree: a band is its root, and what shares a fixture lies under one branch, module within package, class
within module. `dispatch` hands out of it, `single` walks through it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netra_loop.core.affinity import Element, Path

_GUESS_S = 1.0  # of a test that was never timed, where none was
_PIECE = 16  # tests never timed that one worker takes one after the other
_PIECES = 4  # for each worker, so that all have something to do until the end

Priority = tuple[int, float, int]


class Work(NamedTuple):
    """One thing to hand out. Lower bands come first; `seconds` None: never timed."""

    band: int
    seconds: float | None = None
    path: Path = ()


@dataclass(eq=False, slots=True)
class Leaf:
    """`place` is where in its piece it stands, if it was never timed."""

    number: int
    seconds: float
    timed: bool
    parent: Branch
    place: int = 0
    taken: bool = False


@dataclass(slots=True)
class Pace:
    """How long tests took against how long they were expected to. `prior_s` of tests speak for what was expected."""

    prior_s: float
    took_s: float = 0.0
    expected_s: float = 0.0

    def saw(self, took_s: float, expected_s: float) -> None:
        """Adds one that ended."""
        self.took_s += took_s
        self.expected_s += expected_s

    def beside(self, usual: float) -> float:
        """1.0 for as expected; `usual` is what is held to be likely where too little was seen."""
        whole = self.expected_s + self.prior_s
        return (self.took_s + usual * self.prior_s) / whole if whole > 0 else 1.0


@dataclass(eq=False, slots=True)
class Branch:
    """`stamp` changes with every change, so that older entries in its parent's heaps are known to be stale."""

    element: Element | None
    parent: Branch | None
    first: int
    usual: Pace
    pace: Pace
    branches: dict[str, Branch] = field(default_factory=dict)
    fresh: list[tuple[int, float, int, int, Leaf | Branch]] = field(default_factory=list)
    begun: list[tuple[float, int, int, Branch]] = field(default_factory=list)
    left: int = 0
    left_s: float = 0.0
    untimed: int = 0  # of those left
    workers: int = 0
    stamp: int = 0

    @property
    def cost_s(self) -> float:
        """Of its fixtures, once; 0.0 where nobody knows."""
        known = self.element.cost_s if self.element is not None else None
        return 0.0 if known is None else known

    def priority(self) -> Priority:
        """Of all of it among what its parent holds; the lowest comes first."""
        return (0, 0.0, self.first) if self.untimed else (1, -self.left_s - self.cost_s, self.first)

    def share_s(self) -> float:
        """How long those who are in it still have, if they share it evenly."""
        return self.left_s * self.pace.beside(self.usual.beside(1.0)) / max(1, self.workers)

    def file(self) -> None:
        """Puts it where its parent will find it."""
        self.stamp += 1
        if self.parent is None or not self.left:
            return
        if self.workers:
            heapq.heappush(self.parent.begun, (-self.share_s(), self.first, self.stamp, self))
        else:
            heapq.heappush(self.parent.fresh, (*self.priority(), self.stamp, self))

    def best_fresh(self) -> Leaf | Branch | None:
        """What nobody is at and comes first."""
        while self.fresh:
            _, _, _, stamp, child = self.fresh[0]
            if isinstance(child, Leaf) and not child.taken:
                return child
            if isinstance(child, Branch) and stamp == child.stamp:
                return child
            heapq.heappop(self.fresh)
        return None

    def latest_begun(self) -> Branch | None:
        """Of those that somebody is at, the one that ends last as things stand."""
        while self.begun:
            _, _, stamp, child = self.begun[0]
            if stamp == child.stamp:
                return child
            heapq.heappop(self.begun)
        return None

    def lineage(self) -> list[Branch]:
        """From the top of its band, without the band itself, down to it."""
        line: list[Branch] = []
        node: Branch | None = self
        while node is not None and node.parent is not None:
            line.append(node)
            node = node.parent
        return line[::-1]


@dataclass(eq=False, slots=True)
class Band:
    """`longest`: a heap of its timed leaves; those that were taken are still in it."""

    root: Branch
    strict: bool
    longest: list[tuple[float, int, Leaf]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Planted:
    """`leaves` in the order of the work; `guess_s`, of a leaf that was never timed; `left_s` of all together."""

    bands: list[Band]
    leaves: list[Leaf]
    pace: Pace
    guess_s: float
    left_s: float


def planted(work: Sequence[Work], workers: int, *, strict: int = 0) -> Planted:
    """The trees for so many workers; the first `strict` bands are marked so."""
    timed = [one.seconds for one in work if one.seconds is not None]
    guess_s = sum(timed) / len(timed) if timed else _GUESS_S
    piece = max(1, min(_PIECE, (len(work) - len(timed)) // (_PIECES * max(1, workers))))
    pace = Pace(guess_s)
    bands: dict[int, Band] = {}
    for place, number in enumerate(sorted({one.band for one in work})):
        bands[number] = Band(Branch(None, None, 0, pace, Pace(guess_s)), strict=place < strict)
    leaves: list[Leaf] = []
    left_s = 0.0
    for number, (in_band, seconds, path) in enumerate(work):
        band = bands[in_band]
        branch = _grown(band.root, path, number) if path else band.root
        if seconds is None:
            place, foreseen_s = branch.untimed % piece, guess_s
            leaf = Leaf(number, guess_s, False, branch, place)
            branch.fresh.append((0, place, number, 0, leaf))
        else:
            foreseen_s = seconds
            leaf = Leaf(number, seconds, True, branch)
            branch.fresh.append((1, -seconds, number, 0, leaf))
            band.longest.append((-seconds, number, leaf))
        leaves.append(leaf)
        left_s += foreseen_s
        node: Branch | None = branch
        while node is not None:
            node.left += 1
            node.left_s += foreseen_s
            if seconds is None:
                node.untimed += 1
            node = node.parent
    for band in bands.values():
        heapq.heapify(band.longest)
        _file_all(band.root)
    return Planted(list(bands.values()), leaves, pace, guess_s, left_s)


def take(leaf: Leaf) -> None:
    """It is handed out: no longer among what is left in all that it lies in."""
    leaf.taken = True
    node: Branch | None = leaf.parent
    while node is not None:
        node.left -= 1
        node.left_s = node.left_s - leaf.seconds if node.left else 0.0
        if not leaf.timed:
            node.untimed -= 1
        node = node.parent


def neighbour(leaves: Sequence[Leaf], last: Leaf | None, leaf: Leaf) -> Leaf:
    """What stands after a worker's `last` test, if that is as good as `leaf`: neighbours were collected at one time,
    and lie in memory that the worker's process has made its own.
    """
    if last is None or leaf.timed or last.number + 1 >= len(leaves):
        return leaf
    after = leaves[last.number + 1]
    as_good = not (after.taken or after.timed) and after.parent is leaf.parent
    return after if as_good and after.place == last.place + 1 else leaf


def _grown(root: Branch, path: Path, first: int) -> Branch:
    """The branch that `path` leads to; what is new of it begins with the leaf `first`."""
    branch = root
    for element in path:
        child = branch.branches.get(element.name)
        if child is None:
            child = branch.branches[element.name] = Branch(element, branch, first, root.usual, Pace(root.pace.prior_s))
        branch = child
    return branch


def _file_all(root: Branch) -> None:
    waiting = [root]
    while waiting:
        branch = waiting.pop()
        heapq.heapify(branch.fresh)
        waiting.extend(branch.branches.values())
        for child in branch.branches.values():
            child.file()
