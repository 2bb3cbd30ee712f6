from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cfgen.experiments import Cell, Experiment
from cfgen.report import sentences
from cfgen.stats import rate

N = 20


def results(**hits: list[int]) -> Any:
    """Hypothesis -> how many of 20 pairs it was right for, layer by layer."""
    cells = []
    for name, counts in hits.items():
        for layer, count in enumerate(counts):
            found = rate(count, N)
            where = ("resid_post", "last", None, None, None, layer)
            cells.append(Cell(*where, name, "iia", N, found.value, found.low, found.high))
    sites = [name for name in hits if name != "none"]
    return SimpleNamespace(
        cells=cells,
        sites=sites,
        coincides=dict.fromkeys(sites, ()),
        experiment=Experiment(task="t"),
    )


def test_a_plateau_is_named_with_what_the_others_reach_on_it() -> None:
    seen = results(output_position=[0, 20, 20, 0, 20], none=[20, 0, 2, 0, 1])
    assert sentences(seen) == [
        "output_position: best at layers 1-2, 4 of 5 tried, IIA 1.00 [0.84, 1.00], n 20; there "
        "the others reach none 0.10 [0.03, 0.30]."
    ]


def test_intervals_that_overlap_are_said_to_overlap() -> None:
    seen = results(output_position=[9], output_token=[1], none=[8])
    first, second = sentences(seen)
    assert first == (
        "output_position: best at layer 0, IIA 0.45 [0.26, 0.66], n 20. Not told apart from "
        "none 0.40 [0.22, 0.61] there: the intervals overlap."
    )
    assert "output_position 0.45 [0.26, 0.66] and none" in second


def test_a_hypothesis_that_is_never_right() -> None:
    seen = results(output_position=[0, 0], none=[20, 20])
    assert sentences(seen) == [
        "output_position: the LM never says what it predicts, in any of the 2 layers; n 20."
    ]


def test_what_coincides_on_every_pair_is_named() -> None:
    seen = results(output_token=[20], none=[0])
    seen.coincides["output_token"] = ("all",)
    (said,) = sentences(seen)
    assert said.endswith("On every pair it predicts the same as copying everything (all).")


def test_a_hypothesis_without_any_number() -> None:
    seen = results(output_token=[])
    (said,) = sentences(seen)
    assert said.startswith("output_token: nothing can be said")
