"""Who runs what next, decided when a worker asks. Pure: it knows what was handed out, and needs no clock.

Bands come one after the other. Within one, work is a tree: what shares a fixture lies under one branch, module within
package, class within module. A worker goes down it:

- it stays in the branch whose fixtures it holds up, while there is anything left in it;
- else it takes what nobody is at, first what was never timed (in pieces of up to 16, in the order given), then the
  longest, a branch counting as a whole;
- it joins a branch where others are, paying for the fixtures once more, only where that branch would otherwise end
  later than all of the work spread evenly over all workers, or, when nothing else is left, than its own set-up.

What is known of how long tests take may be wrong: each time one ends (`took`) what is left is foreseen anew, at the
pace of those that have ended, for each branch by itself as far as it has shown one.

Two things overrule this, because an iteration ends with its last test. A test as long as all that is left, divided by
the workers, is begun at once, by a worker that leaves its branch for it, or, ahead of its band, by at most half of
the workers. And a band whose rest waits for fixtures that others hold up does not keep the following one waiting.
Bands called `strict` are exempt: all of one is handed out before anything after it.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from netra_loop.core.branches import Band, Branch, Leaf, Work, neighbour, planted, take

_MATTERS = 1.05  # an end that is later by less than this is not worth leaving the order for

_SPOKEN_FOR = "ahead of its tier: what is left before it waits for fixtures that other workers hold up"


@dataclass(frozen=True, slots=True)
class Pick:
    """What to run: its place in the work given. `why` tells where the order was left, None where it was kept."""

    number: int
    why: str | None = None


@dataclass(eq=False, slots=True)
class _Found:
    """`ahead`: of its band."""

    leaf: Leaf
    why: str | None
    ahead: bool = False


@dataclass(eq=False, slots=True)
class _Standing:
    """Where a worker is: the branches whose fixtures it holds up, widest first."""

    line: list[Branch] = field(default_factory=list)
    ahead: bool = False
    last: Leaf | None = None


class Dispatch:
    """`strict` counts the bands that are handed out whole before anything else. Equals keep the order they came in."""

    def __init__(self, work: Sequence[Work], workers: int, *, strict: int = 0) -> None:
        grown = planted(work, workers, strict=strict)
        self._bands, self._leaves = grown.bands, grown.leaves
        self._pace, self._guess_s = grown.pace, grown.guess_s
        self._workers = max(1, workers)
        self._standings: dict[Hashable, _Standing] = {}
        self._left, self._left_s = len(grown.leaves), grown.left_s
        self._ahead = 0

    def __len__(self) -> int:
        return self._left

    def pending(self) -> Iterator[int]:
        """What was not handed out, in the order given."""
        return (leaf.number for leaf in self._leaves if not leaf.taken)

    def take(self, worker: Hashable) -> Pick | None:
        """What `worker` is to run next. None: nothing is left, or nothing that it would end sooner than those who hold
        the fixtures of it up; then it is of no use yet, see `offers`.
        """
        standing = self._standings.setdefault(worker, _Standing())
        if standing.ahead:
            standing.ahead, self._ahead = False, self._ahead - 1
        found = self._find(standing)
        if found is None:
            return None
        if found.ahead:
            standing.ahead, self._ahead = True, self._ahead + 1
        leaf = standing.last = neighbour(self._leaves, standing.last, found.leaf)
        take(leaf)
        self._left -= 1
        self._left_s -= leaf.seconds
        self._move(standing, leaf.parent)
        return Pick(leaf.number, found.why)

    def offers(self) -> bool:
        """Whether `take` would have something for one more worker, who holds nothing up yet."""
        return self._find(_Standing()) is not None

    def took(self, number: int, seconds: float, expected_s: float | None = None) -> None:
        """`number`, or a part of it that was expected to take `expected_s` (None: nobody knew), took `seconds`."""
        parent = self._leaves[number].parent
        expected_s = self._guess_s if expected_s is None else expected_s
        self._pace.saw(seconds, expected_s)
        for node in parent.lineage():
            node.pace.saw(seconds, expected_s)
            node.file()

    def stand(self, worker: Hashable, number: int) -> None:
        """`worker` runs `number`, which was taken before, without having asked for it."""
        self._move(self._standings.setdefault(worker, _Standing()), self._leaves[number].parent)

    def leave(self, worker: Hashable) -> None:
        """`worker` is gone, and its fixtures with it. Safe to repeat."""
        standing = self._standings.pop(worker, None)
        if standing is not None:
            self._ahead -= standing.ahead
            self._move(standing, None)

    def drain(self) -> list[int]:
        """All that was not handed out, in the order given; nothing is left then."""
        left = list(self.pending())
        for number in left:
            self._leaves[number].taken = True
        self._bands.clear()
        self._left, self._left_s = 0, 0.0
        return left

    # -------------------------------------------------------------------------------------------------- choosing

    @property
    def _even_s(self) -> float:
        """How long all that is left takes if it is spread evenly."""
        return self._left_s * self._pace.beside(1.0) / self._workers

    def _find(self, standing: _Standing) -> _Found | None:
        while self._bands and not self._bands[0].root.left:
            del self._bands[0]
        for place, band in enumerate(self._bands):
            if not band.root.left:
                continue
            overdue = self._overdue(standing) if place == 0 else None
            if overdue is not None:
                return overdue
            leaf = self._within(band, standing, more=any(later.root.left for later in self._bands[place + 1 :]))
            if leaf is not None:
                return _Found(leaf, _SPOKEN_FOR if place else self._joining(leaf, standing))
        return None

    def _within(self, band: Band, standing: _Standing, *, more: bool) -> Leaf | None:
        node, depth = band.root, 0
        while True:
            child = self._own(node, standing, depth) or self._choose(node, must=depth > 0 or (band.strict and more))
            if child is None or isinstance(child, Leaf):
                return child
            node, depth = child, depth + 1

    @staticmethod
    def _own(node: Branch, standing: _Standing, depth: int) -> Branch | None:
        """The branch under `node` whose fixtures the worker holds up; a later band's may have the same ones."""
        if depth >= len(standing.line) or not node.branches:
            return None
        element = standing.line[depth].element
        child = node.branches.get(element.name) if element is not None else None
        return child if child is not None and child.left else None

    def _choose(self, node: Branch, *, must: bool) -> Leaf | Branch | None:
        fresh, begun = node.best_fresh(), node.latest_begun()
        if begun is None:
            return fresh
        bar = begun.cost_s + (self._even_s if fresh is not None else 0.0)
        if begun.share_s() > bar or (fresh is None and must):
            return begun
        return fresh

    def _overdue(self, standing: _Standing) -> _Found | None:
        """A test that must begin now if the iteration is not to end later because of it."""
        if self._workers == 1:
            return None
        first, pace = self._bands[0], self._pace.beside(1.0)
        if standing.line and standing.line[0].left:
            leaf = self._longest(first)
            own = standing.line[0]
            if (
                leaf is not None
                and own not in leaf.parent.lineage()
                and leaf.seconds * pace >= self._even_s
                and own.share_s() > own.cost_s + _setup_s(leaf) + (_MATTERS - 1) * leaf.seconds * pace
            ):
                return _Found(leaf, f"at once: with its {told_seconds(leaf.seconds)} it may end last")
        if first.strict or first.root.left < self._workers or self._ahead >= self._workers // 2:
            return None
        before_s = 0.0
        for band, later in zip(self._bands, self._bands[1:], strict=False):
            before_s += band.root.left_s * pace / self._workers
            leaf = self._longest(later)
            if leaf is None:
                continue
            length = leaf.seconds * pace + _setup_s(leaf)
            if before_s + length > _MATTERS * max(length, self._even_s):
                why = f"ahead of its tier: with its {told_seconds(leaf.seconds)} it would end last"
                return _Found(leaf, why, ahead=True)
        return None

    @staticmethod
    def _longest(band: Band) -> Leaf | None:
        """The longest test of a band; None also where it lies in a branch that somebody is at, who takes it soonest."""
        while band.longest and band.longest[0][2].taken:
            heapq.heappop(band.longest)
        leaf = band.longest[0][2] if band.longest else None
        return None if leaf is None or any(node.workers for node in leaf.parent.lineage()) else leaf

    # -------------------------------------------------------------------------------------------------- handing out

    @staticmethod
    def _joining(leaf: Leaf, standing: _Standing) -> str | None:
        joined = next((node for node in leaf.parent.lineage() if node.workers and node not in standing.line), None)
        if joined is None or joined.element is None:
            return None
        cost = "" if joined.element.cost_s is None else f" ({told_seconds(joined.element.cost_s)})"
        others = "another worker" if joined.workers == 1 else f"{joined.workers} other workers"
        return f"beside {others}, to end sooner: {joined.element.label} once more{cost}"

    def _move(self, standing: _Standing, branch: Branch | None) -> None:
        line = branch.lineage() if branch is not None else []
        for node in standing.line:
            if node not in line:
                node.workers -= 1
                node.file()
        for node in line:
            if node not in standing.line:
                node.workers += 1
            node.file()
        standing.line = line


def _setup_s(leaf: Leaf) -> float:
    return sum(node.cost_s for node in leaf.parent.lineage() if not node.workers)


def told_seconds(seconds: float) -> str:
    """`12.3 s`."""
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:.0f} s"
