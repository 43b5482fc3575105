import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field

import pytest

from netra_loop.values import complete_those_of, dataclass


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
