import copy
import dataclasses
import inspect
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field

import pytest

from netra_loop.values import complete_those_of, dataclass, drafted


@pytest.fixture
def kinds():
    """Two classes, one of them the other's kind, that nothing has been made of."""

    @dataclass(frozen=True)
    class Fact:
        name: str
        at: int = 0
        held: list[int] = field(default_factory=list)

    @dataclass(frozen=True)
    class Seen(Fact):
        where: str = "here"

        def __repr__(self) -> str:
            return f"seen {self.where}"

    return Fact, Seen


def test_a_value_is_what_the_library_would_have_made(kinds):
    fact, seen = kinds
    one = seen("a", 1, where="there")
    assert (one.name, one.at, one.held, one.where) == ("a", 1, [], "there")
    assert dataclasses.asdict(one) == {"name": "a", "at": 1, "held": [], "where": "there"}
    assert dataclasses.replace(one, at=2) == seen("a", 2, where="there") != one
    assert (repr(one), repr(fact("a"))) == ("seen there", f"{fact.__qualname__}(name='a', at=0, held=[])")
    assert fact("a").held is not fact("a").held
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "b"
    with pytest.raises(TypeError):
        fact()


def test_fields_are_known_before_there_is_a_value(kinds):
    fact, seen = kinds
    assert dataclasses.is_dataclass(fact)
    assert [one.name for one in dataclasses.fields(seen)] == ["name", "at", "held", "where"]


@pytest.mark.parametrize("compare", [lambda one, other: one == other, lambda one, other: hash(one) == hash(other)])
def test_one_that_was_made_past_init_equals_its_like(compare):
    @dataclass(frozen=True)
    class Bare:
        name: str

    def made() -> Bare:
        bare = object.__new__(Bare)
        bare.__dict__["name"] = "a"
        return bare

    assert compare(made(), made())


def test_many_threads_may_be_the_first(kinds):
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: kinds[1]("a", number), range(64)))
    assert [one.at for one in made] == list(range(64))


def test_no_thread_meets_a_class_that_is_being_completed():
    begun, second = threading.Event(), threading.Event()

    class Slow:
        def __get__(self, value, kind):
            begun.set()
            second.wait(0.2)  # nobody sets it: the other thread waits for us
            return 7

    @dataclass(frozen=True)
    class Fact:
        name: str
        at: int = Slow()
        held: list[int] = field(default_factory=list)

    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(Fact, "a")
        begun.wait(10)
        assert (Fact("a"), Fact.__eq__ is object.__eq__) == (first.result(), False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Fact("a").other = 1


def test_a_class_with_slots_has_them_at_once():
    @dataclass(frozen=True, slots=True)
    class Small:
        name: str = "a"

    assert Small.__slots__ == ("name",)
    assert Small() == Small("a")


def test_what_the_class_says_itself_stands():
    @dataclass
    class Loud:
        name: str

        def __repr__(self) -> str:
            return self.name.upper()

    assert repr(Loud("a")) == "A"
    assert Loud("a") == Loud("a") != Loud("b")
    with pytest.raises(TypeError):
        hash(Loud("a"))


def test_classes_may_be_completed_when_there_is_time():
    @dataclass
    class Now:
        name: str

    @dataclass
    class Later:
        name: str

    complete_those_of(f"{__name__}.{Now.__qualname__}", f"{__name__}.Late")
    assert (_waits(Now), _waits(Later)) == (False, True)
    complete_those_of(__name__)
    assert not _waits(Later)
    assert Later("a") == Later("a")


def _waits(kind):
    return "first_call" in kind.__init__.__qualname__


@dataclass(frozen=True, slots=True)
class Slotted:
    """Here, where it can be pickled."""

    name: str
    held: tuple[int, ...] = ()
    found: list[int] = field(default_factory=list, compare=False)

    def told(self) -> str:
        return f"{self.name} {self.held}"


def test_one_with_slots_is_what_the_library_would_have_made():
    one = Slotted("a", found=[7])
    assert Slotted.__slots__ == ("name", "held", "found")
    assert not hasattr(one, "__dict__")
    assert (one.name, one.held, one.found, one.told()) == ("a", (), [7], "a ()")
    assert one == Slotted("a")
    assert hash(one) == hash(Slotted("a"))
    assert repr(one) == "Slotted(name='a', held=(), found=[7])"
    assert dataclasses.replace(one, held=(1,)) == Slotted("a", (1,)) != one
    for same in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert (same, same.found) == (one, [7])
    for name in ("name", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError if name == "name" else (AttributeError, TypeError)):
            setattr(one, name, 1)


def test_one_with_slots_has_its_fields_and_slots_before_there_is_a_value():
    @dataclass(slots=True)
    class Waiting:
        name: str
        at: int = 0

        def later(self) -> None:
            self.at += 1

    assert Waiting.__slots__ == ("name", "at")
    assert [(one.name, one.default) for one in dataclasses.fields(Waiting)][1] == ("at", 0)
    one = Waiting("a")
    one.later()
    assert one == Waiting("a", 1)
    with pytest.raises(AttributeError):
        one.more = 1


def test_slots_of_one_that_inherits_are_its_own_alone():
    @dataclass(frozen=True, slots=True)
    class More(Slotted):
        where: str = "here"

    assert More.__slots__ == ("where",)
    assert More("a", where="there") == More("a", (), [], "there")
    assert not hasattr(More("a"), "__dict__")


@drafted
@dataclass(frozen=True, slots=True)
class Row:
    kind: str
    draft: int = 0


def test_one_that_is_drafted_is_what_the_library_would_have_made():
    row = Row("a", draft=2)
    assert (row, repr(row)) == (Row("a", 2), "Row(kind='a', draft=2)")
    assert dataclasses.replace(row, kind="b") == Row("b", 2)
    assert pickle.loads(pickle.dumps(row)) == row
    assert str(inspect.signature(Row)) == "(kind: str, draft: int = 0) -> None"
    with pytest.raises(TypeError, match=r"Row.__init__\(\) missing 1 required positional argument: 'kind'"):
        Row()
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.kind = "b"


def test_what_is_set_on_a_draft_becomes_the_value():
    draft = Row.Draft()
    draft.kind, draft.draft = "a", 2
    draft.__class__ = Row
    assert draft == Row("a", 2)


def test_what_cannot_be_drafted_is_refused():
    with pytest.raises(TypeError, match="Slotted cannot be drafted"):
        drafted(Slotted)
    with pytest.raises(TypeError, match="Heir would be made as what it inherits from"):
        type("Heir", (Row,), {})
