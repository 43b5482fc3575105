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

from netra_loop.core.affinity import Element, Path

_GUESS_S = 1.0  # of a test that was never timed, where none was
_PIECE = 16  # tests never timed that one worker takes one after the other
_PIECES = 4  # for each worker, so that all have something to do until the end
_MATTERS = 1.05  # an end that is later by less than this is not worth leaving the order for

_SPOKEN_FOR = "ahead of its tier: what is left before it waits for fixtures that other workers hold up"

Priority = tuple[int, float, int]


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to hand out. Lower bands come first; `seconds` None: never timed."""

    band: int
    seconds: float | None = None
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """What to run: its place in the work given. `why` tells where the order was left, None where it was kept."""

    number: int
    why: str | None = None


@dataclass(eq=False, slots=True)
class _Leaf:
    """`place` is where in its piece it stands, if it was never timed."""

    number: int
    seconds: float
    timed: bool
    parent: _Branch
    place: int = 0
    taken: bool = False

    def priority(self) -> Priority:
        return (1, -self.seconds, self.number) if self.timed else (0, self.place, self.number)


@dataclass(slots=True)
class _Pace:
    """How long tests took against how long they were expected to. `prior_s` of tests speak for what was expected."""

    prior_s: float
    took_s: float = 0.0
    expected_s: float = 0.0

    def saw(self, took_s: float, expected_s: float) -> None:
        self.took_s += took_s
        self.expected_s += expected_s

    def beside(self, usual: float) -> float:
        """1.0 for as expected; `usual` is what is held to be likely where too little was seen."""
        whole = self.expected_s + self.prior_s
        return (self.took_s + usual * self.prior_s) / whole if whole > 0 else 1.0


@dataclass(eq=False, slots=True)
class _Branch:
    """`stamp` changes with every change, so that older entries in its parent's heaps are known to be stale."""

    element: Element | None
    parent: _Branch | None
    first: int
    usual: _Pace
    pace: _Pace
    branches: dict[str, _Branch] = field(default_factory=dict)
    fresh: list[tuple[Priority, int, _Leaf | _Branch]] = field(default_factory=list)
    begun: list[tuple[float, int, int, _Branch]] = field(default_factory=list)
    left: int = 0
    left_s: float = 0.0
    untimed: int = 0  # of those left
    workers: int = 0
    stamp: int = 0

    @property
    def cost_s(self) -> float:
        known = self.element.cost_s if self.element is not None else None
        return 0.0 if known is None else known

    def priority(self) -> Priority:
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
            heapq.heappush(self.parent.fresh, (self.priority(), self.stamp, self))

    def best_fresh(self) -> _Leaf | _Branch | None:
        while self.fresh:
            _, stamp, child = self.fresh[0]
            if isinstance(child, _Leaf) and not child.taken:
                return child
            if isinstance(child, _Branch) and stamp == child.stamp:
                return child
            heapq.heappop(self.fresh)
        return None

    def latest_begun(self) -> _Branch | None:
        while self.begun:
            _, _, stamp, child = self.begun[0]
            if stamp == child.stamp:
                return child
            heapq.heappop(self.begun)
        return None

    def lineage(self) -> list[_Branch]:
        """From the top of its band, without the band itself, down to it."""
        line: list[_Branch] = []
        node: _Branch | None = self
        while node is not None and node.parent is not None:
            line.append(node)
            node = node.parent
        return line[::-1]


@dataclass(eq=False, slots=True)
class _Band:
    root: _Branch
    strict: bool
    longest: list[tuple[float, int, _Leaf]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Found:
    """`ahead`: of its band."""

    leaf: _Leaf
    why: str | None
    ahead: bool = False


@dataclass(eq=False, slots=True)
class _Standing:
    """Where a worker is: the branches whose fixtures it holds up, widest first."""

    line: list[_Branch] = field(default_factory=list)
    ahead: bool = False
    last: _Leaf | None = None


class Dispatch:
    """`strict` counts the bands that are handed out whole before anything else. Equals keep the order they came in."""

    def __init__(self, work: Sequence[Work], workers: int, *, strict: int = 0) -> None:
        timed = [one.seconds for one in work if one.seconds is not None]
        self._guess_s = sum(timed) / len(timed) if timed else _GUESS_S
        self._pace = _Pace(self._guess_s)
        self._workers = max(1, workers)
        self._piece = max(1, min(_PIECE, (len(work) - len(timed)) // (_PIECES * self._workers)))
        self._standings: dict[Hashable, _Standing] = {}
        self._left, self._left_s = 0, 0.0
        self._ahead = 0
        bands = sorted({one.band for one in work})
        self._bands = [_Band(self._branch(None, None, 0), strict=place < strict) for place, _ in enumerate(bands)]
        places = {band: self._bands[place] for place, band in enumerate(bands)}
        self._leaves = [self._plant(places[one.band], number, one) for number, one in enumerate(work)]
        for band in self._bands:
            heapq.heapify(band.longest)
            _file_all(band.root)

    def __len__(self) -> int:
        return self._left

    def pending(self) -> Iterator[int]:
        """What was not handed out, in the order given."""
        return (leaf.number for leaf in self._leaves if not leaf.taken)

    def take(self, worker: Hashable) -> Pick | None:
        """What `worker` is to run next. None: nothing is left, or nothing that it would end sooner than those who hold
        the fixtures of it up; then it is of no use for now, see `offers`.
        """
        standing = self._standings.setdefault(worker, _Standing())
        if standing.ahead:
            standing.ahead, self._ahead = False, self._ahead - 1
        found = self._find(standing)
        if found is None:
            return None
        if found.ahead:
            standing.ahead, self._ahead = True, self._ahead + 1
        leaf = standing.last = self._neighbour(standing, found.leaf)
        leaf.taken = True
        self._count(leaf, -1)
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

    # -------------------------------------------------------------------------------------------------- planting

    def _plant(self, band: _Band, number: int, one: Work) -> _Leaf:
        branch = band.root
        for element in one.path:
            child = branch.branches.get(element.name)
            if child is None:
                child = branch.branches[element.name] = self._branch(element, branch, number)
            branch = child
        timed = one.seconds is not None
        seconds = one.seconds if one.seconds is not None else self._guess_s
        leaf = _Leaf(number, seconds, timed, branch, 0 if timed else branch.untimed % self._piece)
        heapq.heappush(branch.fresh, (leaf.priority(), 0, leaf))
        if timed:
            band.longest.append((-seconds, number, leaf))
        self._count(leaf, 1)
        return leaf

    def _branch(self, element: Element | None, parent: _Branch | None, first: int) -> _Branch:
        return _Branch(element, parent, first, self._pace, _Pace(self._guess_s))

    def _count(self, leaf: _Leaf, sign: int) -> None:
        self._left += sign
        self._left_s += sign * leaf.seconds
        node: _Branch | None = leaf.parent
        while node is not None:
            node.left += sign
            node.left_s = node.left_s + sign * leaf.seconds if node.left else 0.0
            node.untimed += 0 if leaf.timed else sign
            node = node.parent

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

    def _within(self, band: _Band, standing: _Standing, *, more: bool) -> _Leaf | None:
        node, depth = band.root, 0
        while True:
            child = self._own(node, standing, depth) or self._choose(node, must=depth > 0 or (band.strict and more))
            if child is None or isinstance(child, _Leaf):
                return child
            node, depth = child, depth + 1

    @staticmethod
    def _own(node: _Branch, standing: _Standing, depth: int) -> _Branch | None:
        """The branch under `node` whose fixtures the worker holds up; a later band's may have the same ones."""
        if depth >= len(standing.line) or not node.branches:
            return None
        element = standing.line[depth].element
        child = node.branches.get(element.name) if element is not None else None
        return child if child is not None and child.left else None

    def _choose(self, node: _Branch, *, must: bool) -> _Leaf | _Branch | None:
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

    def _neighbour(self, standing: _Standing, leaf: _Leaf) -> _Leaf:
        """What stands after the worker's last test, if that is as good as `leaf`: neighbours were collected at one
        time, and lie in memory that the worker's process has made its own.
        """
        last = standing.last
        if last is None or leaf.timed or last.number + 1 >= len(self._leaves):
            return leaf
        after = self._leaves[last.number + 1]
        as_good = not (after.taken or after.timed) and after.parent is leaf.parent
        return after if as_good and after.place == last.place + 1 else leaf

    @staticmethod
    def _longest(band: _Band) -> _Leaf | None:
        """The longest test of a band; None also where it lies in a branch that somebody is at, who takes it soonest."""
        while band.longest and band.longest[0][2].taken:
            heapq.heappop(band.longest)
        leaf = band.longest[0][2] if band.longest else None
        return None if leaf is None or any(node.workers for node in leaf.parent.lineage()) else leaf

    # -------------------------------------------------------------------------------------------------- handing out

    @staticmethod
    def _joining(leaf: _Leaf, standing: _Standing) -> str | None:
        joined = next((node for node in leaf.parent.lineage() if node.workers and node not in standing.line), None)
        if joined is None or joined.element is None:
            return None
        cost = "" if joined.element.cost_s is None else f" ({told_seconds(joined.element.cost_s)})"
        others = "another worker" if joined.workers == 1 else f"{joined.workers} other workers"
        return f"beside {others}, to end sooner: {joined.element.label} once more{cost}"

    def _move(self, standing: _Standing, branch: _Branch | None) -> None:
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


def _file_all(root: _Branch) -> None:
    waiting = list(root.branches.values())
    while waiting:
        branch = waiting.pop()
        waiting.extend(branch.branches.values())
        branch.file()


def _setup_s(leaf: _Leaf) -> float:
    return sum(node.cost_s for node in leaf.parent.lineage() if not node.workers)


def told_seconds(seconds: float) -> str:
    """`12.3 s`."""
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:.0f} s"
