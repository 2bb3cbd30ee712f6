"""Settings: immutable full assignments that know what was set by hand."""

from __future__ import annotations

import copy
import pickle

import pytest

from cfgen import Setting


def setting() -> Setting:
    return Setting({"x": 1, "y": ("a", "b")}, frozenset({"y"}))


def test_is_a_mapping_in_causal_order() -> None:
    assert list(setting()) == ["x", "y"]
    assert dict(setting()) == {"x": 1, "y": ("a", "b")}
    assert len(setting()) == 2
    assert setting()["y"] == ("a", "b")
    assert "z" not in setting()
    assert {**setting()} == setting()


def test_cannot_be_changed() -> None:
    value = setting()
    with pytest.raises(TypeError, match="does not support item assignment"):
        value["x"] = 2  # type: ignore[index]
    with pytest.raises(AttributeError, match=r"call intervene\(\) for a new one"):
        value.intervened = frozenset()
    with pytest.raises(AttributeError, match=r"call intervene\(\) for a new one"):
        del value.intervened
    with pytest.raises(AttributeError):
        value.more = 1  # type: ignore[attr-defined]
    assert value == setting()


def test_does_not_follow_the_mapping_it_was_made_from() -> None:
    source = {"x": 1}
    value = Setting(source)
    source["x"] = 2
    assert value["x"] == 1


def test_equality_and_hash_are_those_of_the_values() -> None:
    assert setting() == Setting({"y": ("a", "b"), "x": 1})
    assert hash(setting()) == hash(Setting({"y": ("a", "b"), "x": 1}))
    assert setting() != Setting({"x": 2, "y": ("a", "b")})
    assert {setting(): "found"}[setting()] == "found"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Setting({"x": []}))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_with_what_was_set(protocol: int) -> None:
    back = pickle.loads(pickle.dumps(setting(), protocol))
    assert back == setting()
    assert list(back) == ["x", "y"]
    assert back.intervened == {"y"}


def test_copies() -> None:
    for back in (copy.copy(setting()), copy.deepcopy(setting())):
        assert back == setting()
        assert back.intervened == {"y"}


def test_repr_marks_what_was_set() -> None:
    assert repr(setting()) == "Setting(x=1, y*=('a', 'b'))"
