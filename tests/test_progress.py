from __future__ import annotations

import pytest

from cfgen.progress import Pace, amount_text, duration_text, kept_if_interrupted, rate_text


def paced(reports: list[tuple[float, int]]) -> Pace:
    pace = Pace()
    for now, done in reports:
        pace.note(done, now)
    return pace


def test_an_even_step() -> None:
    pace = paced([(float(second), 10 * second) for second in range(11)])
    assert pace.rate(10.0) == pytest.approx(10)
    assert pace.left(200, 10.0) == pytest.approx(10)
    assert pace.left(200, 10.5) == pytest.approx(9.5)
    assert pace.left(None, 10.0) is None


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [(0.0, 0)],
        [(0.0, 0), (5.0, 50)],  # one unit may be like no other
        [(0.0, 0), (0.5, 5), (1.0, 10)],
        [(0.0, 0), (5.0, 0), (9.0, 0)],
    ],
)
def test_nothing_is_said_before_there_is_something_to_judge_by(
    reports: list[tuple[float, int]],
) -> None:
    pace, now = paced(reports), reports[-1][0] if reports else 1.0
    assert (pace.rate(now), pace.left(100, now)) == (None, None)


def test_the_last_part_of_an_uneven_step_counts() -> None:
    slow = [(float(second), second) for second in range(100)]
    fast = [(100.0 + second, 100 + 50 * second) for second in range(60)]
    assert paced([*slow, *fast]).rate(159.0) == pytest.approx(50)
    assert paced(slow).rate(99.0) == pytest.approx(1)


def test_few_and_long_units_are_all_looked_at() -> None:
    pace = paced([(600.0 * unit, unit) for unit in range(4)])
    assert pace.left(5, 1800.0) == pytest.approx(1200)


def test_what_was_done_before_the_step_began_does_not_count() -> None:
    pace = paced([(float(second), 5000 + second) for second in range(11)])
    assert pace.rate(10.0) == pytest.approx(1)


def test_a_longer_wait_than_usual_slows_it_down() -> None:
    pace = paced([(float(second), second) for second in range(11)])
    assert pace.rate(11.0) == pytest.approx(1)
    assert pace.rate(31.0) == pytest.approx(10 / 30)
    assert pace.left(20, 31.0) == pytest.approx(9)


def test_beginning_anew_forgets_the_pace() -> None:
    pace = paced([*((float(second), 100 * second) for second in range(11)), (11.0, 0)])
    assert pace.rate(11.0) is None


def test_many_reports_take_no_room_and_change_nothing() -> None:
    pace = paced([(number / 1000, number) for number in range(100_000)])
    assert pace.rate(100.0) == pytest.approx(1000, rel=0.01)
    assert len(pace._marks) < 300


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (190, "3 min 10 s"),
        (3599.6, "1 h 0 min"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_amounts_and_rates() -> None:
    assert amount_text("pairs", 1200, 5000) == "1,200 of 5,000"
    assert amount_text("pairs", 1200, None) == "1,200"
    assert amount_text("download", 1_250_000, 97_000_000) == "1.2 of 97.0 MB"
    assert rate_text("pairs", 1234.5) == "1,234/s"
    assert rate_text("pairs", 12.34) == "12.3/s"
    assert rate_text("pairs", 0.01) == "1 min 40 s each"
    assert rate_text("hash", 80_120_000) == "80.1 MB/s"


def test_what_is_kept_is_said_from_the_inside_out() -> None:
    with (
        pytest.raises(KeyboardInterrupt) as caught,
        kept_if_interrupted(lambda: "outer"),
        kept_if_interrupted(lambda: "inner"),
    ):
        raise KeyboardInterrupt
    assert caught.value.__notes__ == ["inner", "outer"]


def test_errors_are_not_interruptions() -> None:
    with pytest.raises(ValueError, match="wrong") as caught, kept_if_interrupted(lambda: "kept"):
        raise ValueError("wrong")
    assert not hasattr(caught.value, "__notes__")
