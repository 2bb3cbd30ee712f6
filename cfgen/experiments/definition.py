"""The record of an experiment: a question to an LM, as it is written in a file.

Nothing here needs torch, so that what was asked for can be checked, shown and looked up at once.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cfgen.counterfactuals import LAYER_MODE, Align
from cfgen.experiments.methods import FIELDS, METHODS

BATCH_SIZE = 16
"""Prompts that go through the LM at once."""
VERIFIED = 2
"""Swaps of each unit that are run again on the reference engine."""


SOURCES = ("task", "dataset", "pairs")
"""Exactly one of these fields says where pairs come from."""
DRAWING = ("design", "seed", "splits", "templates", "balance", "reuse_prompts", "tokenizers")
"""Fields that say how a task's pairs are drawn."""


def _listed(given: Any) -> Any:
    """Where several texts can be named, one text stands for itself alone."""
    return (given,) if isinstance(given, str) else given


def _named(given: Any) -> Any:
    """Hypotheses by name alone are those of the task, as it declares them."""
    given = _listed(given)
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        return given
    return dict.fromkeys(given)


def _as_text(given: Any) -> Any:
    """A whole number is no text to YAML."""
    return str(given) if type(given) is int else given


def _as_number(given: Any) -> Any:
    """What is no whole number is text to YAML."""
    if type(given) is int or (isinstance(given, str) and _NUMBER.fullmatch(given)):
        return float(given)
    return given


def _listed_numbers(given: Any) -> Any:
    """Where several numbers can be named, one number stands for itself alone."""
    return (given,) if isinstance(given, str | int | float) else given


_NUMBER = re.compile(r"[-+]?\d{1,30}(?:\.\d{0,60})?(?:[eE][-+]?\d{1,3})?")
Number = Annotated[float, BeforeValidator(_as_number), Field(allow_inf_nan=False)]
Amounts = Annotated[tuple[Number, ...], BeforeValidator(_listed_numbers)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
EXACT_GUIDES = ("exact", "exact-both")
"""Guides that compute effects of all neurons, exactly."""
SWAPPING = ("hypotheses", "sweep", "measures", "generate", "during", *FIELDS)
"""Fields that have no meaning where nothing is swapped."""


Numbers = tuple[Annotated[int, Field(ge=0)], ...]


class SiteOptions(BaseModel):
    """Where a hypothesis is tested, as far as that differs from what the task says.

    Attributes:
        positions: Position expressions, such as ``last`` or ``item_1[0]``.
        frozen: Positions held at the original's own activations, in every layer.
        align: Where a value comes from: the same slot, or the slot that holds the same word.
        component: What is swapped.
        head: Which head, of a component that has heads.
        neurons: Which neurons of ``mlp_neuron``, or dimensions of another component without heads.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    positions: Texts | None = None
    frozen: Texts | None = None
    align: Align | None = None
    component: str | None = None
    head: int | None = Field(default=None, ge=0)
    neurons: Numbers | None = None


class SweepOptions(BaseModel):
    """Over what the sites of all hypotheses are varied, as far as they don't say it themselves.

    Attributes:
        layers: ``each`` layer by itself, all ``up_to`` a layer, or ``window(k)``: the k layers
            around each.
        over: The layers, such as ``20-29`` or ``0,5,10-12``; all if not given.
        heads: ``all`` heads one by one, or those named.
        neurons: ``all`` neurons of ``mlp_neuron``, or dimensions of another component without
            heads, one by one, or those named.
        positions: Each of these position expressions by itself, or ``every`` token by itself.
        component: What is swapped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    layers: Annotated[str, Field(pattern=f"^({LAYER_MODE})$")] | None = None
    over: Annotated[str | None, BeforeValidator(_as_text)] = None
    heads: Literal["all"] | Numbers | None = None
    neurons: Literal["all"] | Numbers | None = None
    positions: Literal["every"] | Texts | None = None
    component: str | None = None


class EngineOptions(BaseModel):
    """How runs are executed.

    Attributes:
        name: ``packed``, ``reference`` (slow and plain), or ``auto``: packed where possible.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``spread`` over several.
        dtype: In what is computed.
        batch_size: Prompts that go through the LM at once.
        verify: Swaps of each unit that are run again on the reference engine; an error if any
            differs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Literal["auto", "packed", "reference"] = "auto"
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    batch_size: int = Field(default=BATCH_SIZE, ge=1)
    verify: int = Field(default=VERIFIED, ge=0)


class Experiment(BaseModel):
    """A question to an LM: on which pairs, about which hypotheses, by which method.

    Exactly one of ``task``, ``dataset`` and ``pairs`` says where pairs come from. That, and all
    else that fields say together, is checked where an experiment is read or looked up.

    Attributes:
        method: How the question is put: ``interchange`` tests hypotheses by swaps, ``behaviour``
            only looks at what the LM says to the prompts as they are; ``mediation``, ``ablation``,
            ``knockout``, ``paths`` and ``tracing`` measure effects, and ``circuit`` scores edges
            (``cfgen methods`` explains them).
        task: Name of a task; pairs are drawn.
        dataset: Folder that ``cfgen generate`` wrote.
        pairs: File of pairs of one's own, or a folder, or ``hub:OWNER/NAME``: see docs/pairs.md.
        columns: What a column is for -> its name in the file of pairs, where that is another.
        design: How a task's pairs are made; the task's default if not given.
        n: Number of pairs; a file of pairs may have fewer than the default.
        kept: Whether so many pairs are meant after the behavioural filter.
        seed: Of the drawing.
        split: Whose words a task's pairs use, or which split of a dataset or a folder is run on.
        splits: Shares of train, validation and test, which words are dealt out by.
        templates: Wording; the task's default if none.
        balance: Whether every value is used equally often.
        reuse_prompts: Whether a prompt may be in several of the pairs, which are all different.
        tokenizers: LMs under whose tokenizers all pairs align token by token.
        models: The LMs; the task's default if none.
        chat: Whether a prompt is the user's message in the LM's own chat template.
        hypotheses: Name -> where it is tested, if that differs from what the task says; none for
            those that the design tells apart.
        sweep: Over what sites are varied.
        ablation: With ``ablation``, what is written: ``zero``; ``mean``, over the originals of all
            kept pairs, token by token; ``pooled``, over their tokens as well; ``resample``, from
            another of these; ``clamp``, what ``value`` says; or ``add``, what is there and
            ``strength`` times a vector.
        value: With ``clamp``, a number, or as many as a token has there.
        strength: With ``add``, how many times the vector; each by itself.
        vector: With ``add``, a file with the vector (.npy, .safetensors); if none, the average of
            counterfactual minus original over the other half of the pairs.
        together: With ``ablation``, parts that are changed at once, set by set: ``9.6,10.0-2`` for
            heads, or neurons, of layers 9 and 10; ``3-5`` for layers as a whole.
        keys: With ``knockout``, tokens that are not looked at: positions, each by itself.
        receivers: With ``paths``, what is looked at for the direct effect: ``logits``, or such as
            ``9.6.q`` (queries of head 6 in layer 9; also ``k``, ``v``) and ``9.mlp``.
        mlps: With ``paths``, whether MLPs on the way are ``recomputed`` or ``frozen``.
        corrupt: With ``tracing``, the position whose tokens get noise; a span is meant whole.
        noise: With ``tracing``, its standard deviation: ``3`` for so many times that of what these
            tokens have there, or ``0.1 absolute``.
        draws: With ``tracing``, how often noise is drawn for each pair.
        steps: With ``circuit``, of the integrated gradients; 1 for those of the clean run alone.
        selection: With ``circuit``, whether the ``top`` edges are taken wherever they are, or
            ``greedy``, from the logits on.
        edges: With ``circuit``, how many percent of the edges are written down.
        exact: With ``circuit``, how many edges, drawn at random, are run as well as estimated.
        nodes: With ``circuit``, without how many of its nodes the circuit is run again, one by one,
            the strongest first, and without sets of these.
        guide: ``attribution``: all places are estimated from gradients, and the most promising
            alone are run, and as many others at random; ``circuit`` has estimates of its own.
            ``exact``, with ``mediation`` and ``sweep.neurons``: NIE of every neuron of the MLPs is
            computed on the logit difference, and the largest alone are run with all the rest.
            ``exact-both``: TIE as well, in twice the time; NDE is TE less it.
        guided: With a guide, how many of each, per hypothesis.
        mediators: With ``mediation``, how many places are swapped together at most, chosen on one
            half of the pairs and judged on the other; 0 for none.
        generate: With ``interchange`` and ``ablation``, how many tokens the LM goes on for after
            each change, and without it, the likeliest each time; 0 for none.
        during: When something is changed while it goes on: in the ``prompt`` only, or ``always``,
            at every token that it generates as well.
        measures: Numbers that are made of what comes out: ``iia``, ``logit_difference``, ``odds``,
            ``probability``, ``log_probability``, ``log_odds``, ``rank``, ``kl``; the first is the
            one that is drawn.
            ``iia`` if none is given; where no hypothesis is tested, ``logit_difference``, and with
            ``tracing`` ``probability``.
        engine: How runs are executed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    method: Literal[
        "interchange",
        "behaviour",
        "mediation",
        "ablation",
        "knockout",
        "paths",
        "tracing",
        "circuit",
    ] = "interchange"
    task: str | None = None
    dataset: str | None = None
    pairs: str | None = None
    columns: dict[str, str] = {}
    design: str | None = None
    n: int = Field(default=64, ge=1)
    kept: bool = False
    seed: int = Field(default=0, ge=0)
    split: str = "test"
    splits: str = "80/10/10"
    templates: Texts = ()
    balance: bool = False
    reuse_prompts: bool = False
    tokenizers: Texts = ()
    models: Texts = ()
    chat: bool = False
    hypotheses: Annotated[dict[str, SiteOptions | None], BeforeValidator(_named)] = {}
    sweep: SweepOptions = SweepOptions()
    ablation: Literal["zero", "mean", "pooled", "resample", "clamp", "add"] = "zero"
    value: Amounts = ()
    strength: Amounts = (1.0,)
    vector: str | None = None
    together: Texts = ()
    keys: Texts = ()
    receivers: Texts = ("logits",)
    mlps: Literal["recomputed", "frozen"] = "recomputed"
    corrupt: str | None = None
    noise: Annotated[str, BeforeValidator(_as_text)] = "3"
    draws: int = Field(default=10, ge=1)
    steps: int = Field(default=5, ge=1)
    selection: Literal["top", "greedy"] = "top"
    edges: Annotated[Number, Field(gt=0, le=100)] = 1.0
    exact: int = Field(default=64, ge=0)
    nodes: int = Field(default=0, ge=0, le=20)
    guide: Literal["attribution", "exact", "exact-both"] | None = None
    guided: int = Field(default=32, ge=1)
    mediators: int = Field(default=0, ge=0, le=64)
    generate: int = Field(default=0, ge=0, le=1000)
    during: Literal["prompt", "always"] = "prompt"
    measures: Texts = ("iia",)
    engine: EngineOptions = EngineOptions()

    @model_validator(mode="before")
    @classmethod
    def _measures_of_method(cls, given: Any) -> Any:
        """What is measured if nothing is said, where the method says it."""
        if isinstance(given, dict) and "measures" not in given:
            method = METHODS.get(str(given.get("method")))
            if method and (method.effects or method.measures):
                return {**given, "measures": (method.measure,)}
        return given


def behavioural(experiment: Experiment) -> Experiment:
    """The same pairs and LMs, asked for nothing but what the LM says to the prompts as they are."""
    said = {name: getattr(experiment, name) for name in experiment.model_fields_set - {*SWAPPING}}
    if "engine" in said:
        said["engine"] = experiment.engine.model_copy(update={"verify": VERIFIED})
    return Experiment(**{**said, "method": "behaviour"})
