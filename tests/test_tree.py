"""The located tree: what `without`, `over` and `with_` give, and that a tree never changes."""

import pickle

import pytest

from resnet_dsl.diagnostics import Source
from resnet_dsl.language.source import read
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, plain

PARENT = (
    "a: 1\nblock: {basic: {k: 1}}\ninit: {weights: he, zero_last: true}\nstages:\n  - {depth: 2, width: 16}\n  - {depth: 3, width: 32}\n"
)
CHILD = "b: 2\nblock: {bottleneck: {groups: 2}}\ninit: {weights: fixup}\n"


def tree(text: str, name: str = "parent") -> MappingTree:
    return read(Source(name, text))


def places(value: Tree) -> list[tuple[str, str, str]]:
    """Every key with its place and the place where its value believes the key to be."""
    found = []
    for key, at, inner in value.entries() if isinstance(value, MappingTree) else ():
        found += [(key, str(at), str(inner.key_at)), *places(inner)]
    for item in value if isinstance(value, SequenceTree) else ():
        found += places(item)
    return found


CASES = {
    "without": (
        lambda t: t.without("stages", "nothing", "a"),
        {"block": {"basic": {"k": 1}}, "init": {"weights": "he", "zero_last": True}},
    ),
    "over": (
        lambda t: tree(CHILD, "child").over(t.without("stages")),
        {"a": 1, "block": {"bottleneck": {"groups": 2}}, "init": {"weights": "fixup"}, "b": 2},
    ),
    "over, key by key": (
        lambda t: tree(CHILD, "child").over(t.without("stages"), whole={"block"}),
        {"a": 1, "block": {"bottleneck": {"groups": 2}}, "init": {"weights": "fixup", "zero_last": True}, "b": 2},
    ),
    "with a key that was there": (lambda t: t.without("stages", "init").with_(["a"], NEW, NEW.at), {"a": 9, "block": {"basic": {"k": 1}}}),
    "with a way that was not": (
        lambda t: t.without("stages", "init", "block").with_(["x", "y"], NEW, NEW.at),
        {"a": 1, "x": {"y": 9}},
    ),
    "with a key of an item": (
        lambda t: t.without("a", "init", "block").with_(["stages", 1, "depth"], NEW, NEW.at),
        {"stages": [{"depth": 2, "width": 16}, {"depth": 9, "width": 32}]},
    ),
}
NEW = Scalar("9", True, tree("new: 9", "option").keys_at["new"])


@pytest.mark.parametrize("name", CASES)
def test_another_tree_is_made_and_the_first_stays(name):
    make, wanted = CASES[name]
    first = tree(PARENT)
    before = (plain(first), places(first))
    made = make(first)
    assert plain(made) == wanted and list(made) == list(wanted)
    assert (plain(first), places(first)) == before
    assert NEW.key_at is None
    assert all(at == believed for _, at, believed in places(made))


def test_an_entry_keeps_its_place():
    made = tree(CHILD, "child").over(tree(PARENT), whole=())
    assert [(k, at) for k, at, _ in places(made) if k in ("a", "b", "zero_last", "weights")] == [
        ("a", "parent:1:1"),
        ("weights", "child:3:8"),
        ("zero_last", "parent:3:21"),
        ("b", "child:1:1"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update(a=NEW),
        lambda t: t.__setitem__("a", NEW),
        lambda t: t.pop("a"),
        lambda t: t["stages"].append(NEW),
        lambda t: t["stages"].__setitem__(0, NEW),
        lambda t: setattr(t["a"], "text", "2"),
    ],
)
def test_a_tree_does_not_change(change):
    first = tree(PARENT)
    with pytest.raises((TypeError, AttributeError)):
        change(first)
    assert plain(first) == plain(tree(PARENT))


def test_a_tree_travels():
    first = tree(PARENT)
    again = pickle.loads(pickle.dumps(first))
    assert plain(again) == plain(first) and places(again) == places(first)
