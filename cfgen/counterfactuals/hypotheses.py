"""Hypotheses: which variables live at which site of the LM, hence what it says when swapped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from cfgen.errors import authored_record, caller_place, shortened
from cfgen.prompts import whole_spans

NONE = "none"
"""The trivial rival under which nothing happens: the original's answer is predicted."""
ALL = "all"
"""The trivial rival under which everything is copied: the counterfactual's answer is predicted."""


Align = Literal["slot", "word"]
LAYER_MODE = r"each|up_to|window\(([1-9]\d{0,3})\)"
"""How layers are swept, as a regular expression; its group is the width of a window."""
LAYER_MODES = ("each", "up_to", "window(3)")
"""Examples of how layers are swept."""
MAX_NAMES = 1_000
"""Positions, neurons or variables that are named one by one, at most."""


@authored_record
@dataclass(frozen=True, slots=True)
class Site:
    """Where in the LM the variables of a hypothesis are said to live.

    Attributes:
        positions: Position expressions: ``last``, ``item_1[0]``, ``story/item_1.all``,
            ``item_1[0]+1``. Of a span of several tokens the last is meant, unless it says
            otherwise.
        frozen: Positions held at the original's own activations, in every layer. Here a span is
            meant whole, unless it says otherwise: ``item_1`` becomes ``item_1.all``.
        align: Where a value comes from in the counterfactual: the same slot, or, swapped by word,
            the slot that holds the word which this slot has in the original.
        layers: ``each`` layer by itself, all layers from the first ``up_to`` L at once, or a
            ``window(k)`` of k layers around L at once.
        component: What is swapped; ``resid_post`` is the residual stream after a block.
        head: Which head, of a component that has heads; None for all of them.
        neurons: Which neurons of ``mlp_neuron``, or dimensions of another component without heads;
            empty for all of them.
    """

    positions: tuple[str, ...] = ("last",)
    frozen: tuple[str, ...] = ()
    align: Align = "slot"
    layers: str = "each"
    component: str = "resid_post"
    head: int | None = None
    neurons: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions", _names(self.positions))
        frozen = (whole_spans(one) if isinstance(one, str) else one for one in _names(self.frozen))
        object.__setattr__(self, "frozen", tuple(frozen))
        object.__setattr__(self, "neurons", tuple(_names(self.neurons)))  # type: ignore[arg-type]

    @property
    def part(self) -> str:
        """Which part of the component is swapped, as text; empty for all of it."""
        head = "" if self.head is None else f" of head {self.head}"
        neurons = f" of neurons {'+'.join(map(str, self.neurons))}" if self.neurons else ""
        return head + neurons

    @property
    def has_known_layers(self) -> bool:
        """Whether :attr:`layers` is one of the ways to sweep layers."""
        return bool(re.fullmatch(LAYER_MODE, self.layers))

    def swept(self, layer: int, count: int) -> range:
        """The layers that are swapped at once for layer L.

        A window of k begins k // 2 layers before L, and ends where the LM does (Meng et al. 2022,
        appendix B.1).

        Args:
            layer: Layer L.
            count: How many layers the LM has.
        """
        if self.layers == "up_to":
            return range(layer + 1)
        mode = re.fullmatch(LAYER_MODE, self.layers)
        size = int(mode[1] or 1) if mode else 1
        first = layer - size // 2
        return range(max(0, first), min(count, first + size))

    @property
    def label(self) -> str:
        """Short text that names the position in tables and files."""
        text = "+".join(self.positions) + self.part
        if self.align == "word":
            text += " by word"
        if self.layers != "each":
            text += f" {self.layers.replace('_', ' ')}"
        return f"{text}, frozen {'+'.join(self.frozen)}" if self.frozen else text


@authored_record
@dataclass(frozen=True, slots=True, repr=False)
class Hypothesis:
    """A set of variables to interchange (and perhaps to hold), said to live at one site.

    Attributes:
        name: Name, used as the key of its predictions.
        interchange: What takes its value from the counterfactual: pairs (variable, variable of
            the counterfactual). May be given as a list of names (each from its namesake) or as a
            mapping from variable to the counterfactual's variable.
        hold: Variables kept at the original's values while their parents move.
        site: Where in the LM the interchanged variables are said to live.
        design: Name of the design that it is meant to be tested with.
        description: One sentence for a person.
        reference: Paper and section that it is taken from.
        where: ``file:line`` of its declaration.
    """

    name: str
    interchange: tuple[tuple[str, str], ...] | Iterable[str] | Mapping[str, str]
    hold: tuple[str, ...] = ()
    site: Site = field(default_factory=Site)
    design: str | None = None
    description: str = ""
    reference: str = ""
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        given = self.interchange
        if isinstance(given, str):
            given = (given,)
        if isinstance(given, Mapping):
            crossed = tuple(given.items())
        else:
            crossed = tuple((x, x) if isinstance(x, str) else (x[0], x[1]) for x in given)
        object.__setattr__(self, "interchange", crossed)
        object.__setattr__(self, "hold", _names(self.hold))
        object.__setattr__(self, "where", self.where or caller_place(2))

    def __repr__(self) -> str:
        crossed = [name if name == of else f"{name} from {of}" for name, of in self.sources.items()]
        held = f", holding {', '.join(self.hold)}" if self.hold else ""
        what = f"{', '.join(crossed)}{held}"
        return shortened(f"Hypothesis({self.name}: {what}; {self.site.label})")

    @property
    def sources(self) -> dict[str, str]:
        """Variable -> the counterfactual's variable that it takes its value from."""
        return dict(self.interchange)  # type: ignore[arg-type]


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    # what is no name is left to the checks of a task, which say where it was written
    several = isinstance(given, Iterable) and not isinstance(given, str)
    names: tuple[Any, ...] = tuple(islice(given, MAX_NAMES + 1)) if several else (given,)
    if len(names) > MAX_NAMES:
        raise ValueError(f"there are more than {MAX_NAMES:,} names")
    return names
