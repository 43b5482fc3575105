"""The order in which a worker that has no others beside it runs everything. It is what `dispatch` would give it one by
one: alone, it stays in a branch until nothing is left in there, so nothing has to be weighed anew after each test.
"""

from __future__ import annotations

from collections.abc import Sequence

from netra_loop.core.branches import Branch, Leaf, Work, neighbour, planted


def single(work: Sequence[Work]) -> list[int]:
    """The places in `work` in the order to run them."""
    quick = _sharing_nothing(work)
    if quick is not None:
        return quick
    grown = planted(work, 1)
    walk = _Walk(grown.leaves)
    for band in grown.bands:
        walk.through(band.root, [])
    return walk.numbers


def _sharing_nothing(work: Sequence[Work]) -> list[int] | None:
    """The same where no tree is needed to know it: no fixture is shared, and all were timed or, of one band, none was.
    None for any other work.
    """
    if any(path for _, _, path in work):
        return None
    lengths = [(band, -seconds) for band, seconds, _ in work if seconds is not None]
    if len(lengths) == len(work):
        return sorted(range(len(work)), key=lengths.__getitem__)
    return None if lengths or len({band for band, _, _ in work}) > 1 else list(range(len(work)))


class _Walk:
    """`numbers` are the tests passed so far."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self.numbers: list[int] = []
        self._leaves = leaves
        self._last: Leaf | None = None
        self._line: list[str] = []  # the elements that are up, widest first

    def through(self, branch: Branch, line: list[str]) -> None:
        """All of `branch`, which `line` leads to. What a band before it has left up comes first."""
        depth = len(line)
        if depth < len(self._line) and (held := branch.branches.get(self._line[depth])) is not None and held.left:
            self.through(held, [*line, self._line[depth]])
        for _, _, _, _, child in sorted(branch.fresh):
            if isinstance(child, Leaf):
                while not child.taken:
                    self._take(neighbour(self._leaves, self._last, child), line)
            elif child.left and child.element is not None:
                self.through(child, [*line, child.element.name])
        branch.left = 0

    def _take(self, leaf: Leaf, line: list[str]) -> None:
        leaf.taken = True
        self._last, self._line = leaf, line
        self.numbers.append(leaf.number)
