"""Methods: the ways of putting a question to an LM, one row each; nothing here needs torch.

A method that measures *effects* says what is run for a pair at each place beside its unchanged
prompts, and which numbers are made of these runs. How pairs are drawn, filtered, checked, computed,
kept, resumed and counted is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Numbers = Mapping[str, float]
"""Run of a pair -> a measure of it."""

CLEAN, OTHER = "original", "counterfactual"
"""The runs of a pair in which nothing is changed."""
INDIRECT, DIRECT = "indirect", "direct"
"""The original with a place as it is in the counterfactual, and the other way round."""
ABLATED, BLOCKED, PATCHED = "ablated", "blocked", "patched"
"""The original with a place ablated, with attention knocked out, with a path patched."""
CORRUPTED, RESTORED = "corrupted", "restored"
"""The original with noise on some tokens, and the same with a place as it is without noise."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A number from the runs of one pair.

    Attributes:
        meaning: What it is, for people.
        of: Gives it from the measure of each run.
        relative: Whether it is a share of the unchanged run's measure already.
        placeless: Whether it is the same wherever the LM is changed.
        measures: Of which measures there is such a number; of any, if none.
        replaces: The effect in whose place it is given, where there is such a number.
    """

    meaning: str
    of: Callable[[Numbers], float]
    relative: bool = False
    placeless: bool = False
    measures: tuple[str, ...] = ()
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Estimand:
    """What gradients estimate, so that they can guide which places are run.

    Attributes:
        effect: The effect.
        run: The run that is estimated.
        start: The run in which gradients are taken: that one without what is done at the place.
    """

    effect: str
    run: str
    start: str = CLEAN


@dataclass(frozen=True, slots=True)
class Method:
    """A way of putting a question.

    Attributes:
        name: What it is called.
        summary: The question that it answers, in one line.
        tests: Whether hypotheses are tested, by swaps.
        effects: Name -> what is counted; none where none are measured.
        runs: What is run of a pair besides its original, in order.
        drawn: Those of them that are run once per draw, where something is drawn at random.
        fields: Fields of an experiment that have a meaning for it alone.
        needs: Those of them that have to be given.
        meaningless: Fields that have none for it, as paths -> why.
        components: What can be changed by it; anything that can be written, if none.
        by_token: Whether every token can be changed by itself.
        at_once: Whether ``every`` stands for all tokens at once.
        predicted: Whose answer a measure is of: that of the ``original`` or ``counterfactual``.
        graded: Whose prompts have to be answered rightly for a pair to be kept.
        measure: What is measured, if nothing else is said.
        component: What is changed, if nothing else is said.
        measures: What can be measured by it; anything, if none.
        continues: Whether the LM can be let go on after a change.
        unfiltered: Whether pairs that the LM does not answer rightly are counted as well, beside.
        estimate: What a guide estimates, of an effect; None if it is none, or nothing is.
        explained: Formulas and their sources, for ``cfgen methods NAME``.
    """

    name: str
    summary: str
    tests: bool = False
    effects: Mapping[str, Effect] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    meaningless: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    components: tuple[str, ...] = ()
    by_token: bool = True
    at_once: bool = False
    predicted: str = CLEAN
    graded: tuple[str, ...] = (CLEAN, OTHER)
    measure: str = "logit_difference"
    component: str = "resid_post"
    measures: tuple[str, ...] = ()
    continues: bool = False
    unfiltered: bool = False
    estimate: Estimand | None = None
    explained: str = ""


_INTERCHANGE = """\
IIA and other measures per hypothesis, site and layer (docs/experiments.md).

With `guide: attribution`, it is estimated for all places at once how far a swap raises the log odds
of what a hypothesis predicts against the original's answer (against the counterfactual's, where the
original's is predicted): (z(u') - z(u)) dy/dz, from gradients at the original. Per hypothesis, the
`guided` most promising places are swapped at, and as many of its others at random.

Geiger et al. 2021, arXiv 2106.02997, section 3."""
_MEDIATION = """\
y is a measure of the counterfactual's answer against the original's: `logit_difference` (the
default), `probability`, `log_odds`, or `odds`, the ratio of the two probabilities, for which every
effect is divided by y(u), as in the paper. u is the original, u' the counterfactual, z what the LM
has at a place.

  TE           y(u') - y(u)                      the total effect of changing the prompt
  NIE          y(u; z as in u') - y(u)           what goes through z alone
  NDE          y(u'; z as in u) - y(u)           what goes past z
  TIE          y(u') - y(u'; z as in u)          what is lost without z: TE = NDE + TIE, exactly
  interaction  TIE - NIE                         0 where the two paths simply add up

Each also for all pairs, not only those that the LM answers rightly, as `NIE, unfiltered`: to keep
pairs with a large effect makes effects larger.

With `guide: attribution`, NIE is estimated for all places at once, from gradients at u:
(z(u') - z(u)) dy/dz; only the `guided` most promising places are run, and as many of the others at
random, on which the rank correlation of estimates and effects is taken.

`mediators`: the strongest places are swapped together, one more at a time: by their own NIE, or
greedily, always the one of the 32 strongest that adds most. One half of the pairs chooses, the
other judges what goes through them (NIE) and past them (NDE), beside places at random and TE.

With `--component mlp_neuron --neurons all --guide exact`, NIE of every neuron of the MLPs is
computed, on the logit difference, and the `guided` largest are run with all the rest: a neuron adds
its activation times its row of the down projection, so that its swap enters behind its block.
With `--guide exact-both`, TIE is as well, by the same swaps with the prompts exchanged.

Vig et al. 2020, arXiv 2004.12265, section 4; Pearl 2001, section 3 (natural effects); Syed et al.
2023, arXiv 2310.10348, section 3.1 (the estimate)."""
_ABLATION = """\
y is a measure of the original's answer, such as `logit_difference` against the counterfactual's.

  change      y(u; z ablated) - y(u)
  relative    the same, divided by y(u); infinite or without a sign where that is near 0
  importance  of `log_probability`, in place of relative: (S - S(z ablated)) / S, S = log p

What is written at z is said by `ablation`: `zero`; `mean`, the average over the originals of all
kept pairs, token by token; `pooled`, the same over tokens, too; `resample`, what the original of
another of these pairs has there, drawn by the seed; `clamp`, given numbers (`value`); or `add`:
what is there, plus `strength` times a vector (steering). The vector is one of yours (`vector`), or
the average of counterfactual minus original over the half of the pairs that this one is not in.
Zero is often far from all that the LM ever has at a place, so that an effect may be one of leaving
the familiar; mean and resample are the fairer questions.

`together`: heads, neurons or layers that are changed at once, such as `9.6,9.9,10.0`. `--neurons`:
single numbers of what a token has, one by one. `--position every`: all tokens at once.

With `guide: attribution`, the change is estimated for all places at once, from gradients at u:
(what is written - z) dy/dz, which is -z dy/dz for zero. The most promising are run, and as many of
the others at random.

With `generate: 20`, the LM also goes on for so many tokens, the likeliest each time, with the
change made in the prompt only (`during: prompt`), or at every token that it generates as well
(`always`).

S is negative, so that a place the answer needs has a negative importance, below -1 where its
log-probability more than doubles; where p is near 1, S is near 0 and the quotient says little.

Li et al. 2016, arXiv 1612.08220, section 3 (importance); Chan et al. 2022, causal scrubbing
(resampling); Turner et al. 2023, arXiv 2308.10248; Rimsky et al. 2024, arXiv 2312.06681
(steering)."""
_KNOCKOUT = """\
y is a measure of the original's answer. At some tokens (`sweep.positions`, the last one if not
given) attention to others (`keys`) is taken away, as if their scores were minus infinity before the
softmax, in a window of layers (`sweep.layers`, such as `window(9)`), in all heads or in each.

  change    y(u; attention blocked) - y(u)
  relative  the same, divided by y(u); for `probability`, Geva's relative change

With `guide: attribution`, the change is estimated for all places at once, from gradients at u with
respect to the attention pattern A: the sum over keys of (A' - A) dy/dA, A' = A / (1 - sum of A over
the blocked keys) on those that are left and 0 on these; of a window, the sum over its layers. The
most promising are run, and as many of the others at random.

Geva et al. 2023, arXiv 2304.14767, section 5."""

_PATHS = """\
y is a measure of the original's answer. A sender (a head of each layer; `--component attn_out` or
`mlp_out`) gets what it has in the counterfactual; the attention of all later layers is held at
what it is in the original, so that only the direct path to the receiver is left. MLPs on it are
computed anew, or held as well (`mlps: frozen`).

  change    y(u; path patched) - y(u)
  relative  the same, divided by y(u)

Receivers (`receivers`): `logits`, the default; `9.6.q`, `9.6.k`, `9.6.v`, the queries, keys or
values of head 6 in layer 9; `9.mlp`, the MLP of layer 9. The original is then run with nothing but
what such a receiver got. For these, both prompts of a pair need as many tokens.

With `guide: attribution`, the change is estimated for all senders at once, from gradients at u with
attention held, and through a receiver by the product of two; only the `guided` most promising are
run, and as many of the others at random.

Wang et al. 2023, arXiv 2211.00593, section 3.1 and appendix B; Goldowsky-Dill et al. 2023, arXiv
2304.05969."""
_TRACING = """\
y is a measure of the original's answer, the probability if nothing else is said; counterfactuals
are not used. Gaussian noise is added to the token embedding's output at the tokens of `corrupt`,
anew in each of `draws`; then a place is restored: it is given what it has without noise.

  TE  y(u) - y(u*)                      what the noise takes away, u* the original with noise
  IE  y(u*; z as in u) - y(u*)          what restoring z brings back

Per pair, the average over draws; its interval is Student's over pairs, and beside it stand the
standard deviations between pairs and between the draws of a pair. The noise (`noise`) has a
standard deviation of so many times that of the numbers which the tokens have where it is added,
over all pairs that were drawn: 3, or 0.1 absolute for a number as it is.

Places: `--component resid_post` (single states), `--component mlp_out` or `attn_out` with
`--sweep "window(10)"` (layers c-5 to c+4), `--component head_out --heads all`; with `--position
every`, token by token from the first one with noise on: what comes before cannot differ.

With `guide: attribution`, IE is estimated for all places at once, from gradients at u*, draw by
draw: (z(u) - z(u*)) dy/dz. The most promising are run, and as many of the others at random.

Meng et al. 2022, arXiv 2202.05262, section 2 and appendix B."""

_CIRCUIT = """\
An edge leads from what a part of the LM adds (the input, a head `a9.h6`, an MLP `m9`) to what a
later part is given (`a9.h6.q`, `.k`, `.v`, `m9`, `logits`). Corrupting it gives the receiver, for
what the sender adds, what it adds in the counterfactual; m is the logit difference between the two
answers, after the original.

  score         what corrupting the edge takes away from m, estimated from gradients, with
                `steps` embeddings from the corrupted (left out) to the clean ones: EAP-IG (inputs),
                k = 1 ... m; with `steps: 1` at the clean ones alone: EAP
  exact         the same by running it, for some edges drawn at random (`exact`)
  faithfulness  f(k) = (m(C_k) - m(none)) / (m(all) - m(none)), C_k the best k edges, all others
                corrupted; edges are chosen on one half of the pairs and f measured on the other
  CPR           area below f, edges ranked by score; higher is better
  CMD           area between f and 1, edges ranked by size of score; 0 is best

`selection`: the `top` edges wherever they are, or `greedy`, from the logits on. `edges`: how many
percent the circuit that is written down has. It is *a* circuit: others may do as well. `nodes`: of
how many of its strongest nodes it is measured what it loses without them (minimality), and of sets
of these K, ten drawn at random and one looked for greedily on the pairs that choose edges, how far
the circuit without K lies from the LM without K (completeness).

Syed et al. 2023, arXiv 2310.10348; Hanna et al. 2024, arXiv 2403.17806; Mueller et al. 2025, arXiv
2504.13151 (CPR, CMD)."""


def _against_clean(run: str) -> dict[str, Effect]:
    """What a run changes, compared with the original as it is."""
    return {
        "change": Effect("change from the unchanged run", lambda y: y[run] - y[CLEAN]),
        "relative": Effect(
            "the same as a share of the unchanged run's",
            lambda y: (y[run] - y[CLEAN]) / y[CLEAN] if y[CLEAN] else float("nan"),
            relative=True,
        ),
    }


GUIDES = ("guide", "guided")
"""Fields of methods that gradients can guide."""
_FROM_ON = "senders act from their layer on, and on all that looks at them"

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(
            "interchange",
            "Do values swapped in from the counterfactual do what hypotheses predict?",
            tests=True,
            continues=True,
            fields=GUIDES,
            explained=_INTERCHANGE,
        ),
        Method(
            "behaviour",
            "What does the LM say to the prompts as they are? (cfgen behave)",
            explained="Accuracy by template, answer and its place: docs/experiments.md.",
        ),
        Method(
            "mediation",
            "How much of the effect of changing the prompt goes through a place?",
            effects={
                "TE": Effect("total effect", lambda y: y[OTHER] - y[CLEAN], placeless=True),
                "NIE": Effect("natural indirect effect", lambda y: y[INDIRECT] - y[CLEAN]),
                "NDE": Effect("natural direct effect", lambda y: y[DIRECT] - y[CLEAN]),
                "TIE": Effect("total indirect effect", lambda y: y[OTHER] - y[DIRECT]),
                "interaction": Effect(
                    "TIE - NIE", lambda y: y[OTHER] - y[DIRECT] - y[INDIRECT] + y[CLEAN]
                ),
            },
            runs=(OTHER, INDIRECT, DIRECT),
            fields=(*GUIDES, "mediators"),
            predicted=OTHER,
            unfiltered=True,
            estimate=Estimand("NIE", INDIRECT),
            explained=_MEDIATION,
        ),
        Method(
            "ablation",
            "What is lost without what the LM has at a place, or steered by what is added there?",
            effects={
                **_against_clean(ABLATED),
                "importance": Effect(
                    "(S - S(ablated)) / S, S the log-probability of the answer",
                    lambda y: (y[CLEAN] - y[ABLATED]) / y[CLEAN] if y[CLEAN] else float("nan"),
                    relative=True,
                    measures=("log_probability",),
                    replaces="relative",
                ),
            },
            runs=(ABLATED,),
            fields=("ablation", "value", "strength", "vector", "together", *GUIDES),
            by_token=False,
            at_once=True,
            continues=True,
            estimate=Estimand("change", ABLATED),
            explained=_ABLATION,
        ),
        Method(
            "knockout",
            "What does the LM lose if some tokens cannot look at others?",
            effects=_against_clean(BLOCKED),
            runs=(BLOCKED,),
            fields=("keys", *GUIDES),
            needs=("keys",),
            estimate=Estimand("change", BLOCKED),
            meaningless={("sweep", "component"): "attention patterns are what is changed"},
            by_token=False,
            component="attn_pattern",
            explained=_KNOCKOUT,
        ),
        Method(
            "paths",
            "What do single heads do to the answer directly, or through one later head?",
            effects=_against_clean(PATCHED),
            runs=(PATCHED,),
            fields=("receivers", "mlps", *GUIDES),
            meaningless=dict.fromkeys((("sweep", "layers"), ("sweep", "positions")), _FROM_ON),
            estimate=Estimand("change", PATCHED),
            components=("head_out", "attn_out", "mlp_out"),
            component="head_out",
            explained=_PATHS,
        ),
        Method(
            "tracing",
            "Which states bring the answer back that noise on some tokens takes away?",
            effects={
                "TE": Effect(
                    "total effect: what the noise takes away",
                    lambda y: y[CLEAN] - y[CORRUPTED],
                    placeless=True,
                ),
                "IE": Effect(
                    "indirect effect: what restoring the place brings back",
                    lambda y: y[RESTORED] - y[CORRUPTED],
                ),
            },
            runs=(CORRUPTED, RESTORED),
            drawn=(CORRUPTED, RESTORED),
            fields=("corrupt", "noise", "draws", *GUIDES),
            needs=("corrupt",),
            estimate=Estimand("IE", RESTORED, CORRUPTED),
            graded=(CLEAN,),
            measure="probability",
            explained=_TRACING,
        ),
        Method(
            "circuit",
            "Which edges between heads and MLPs carry the answer, and how well by themselves?",
            fields=("steps", "selection", "edges", "exact", "nodes"),
            meaningless={
                ("hypotheses",): "edges are looked for, and no hypothesis is tested",
                ("sweep",): "all edges of the LM are scored at once",
                ("engine", "verify"): "nothing is packed",
            },
            measures=("logit_difference",),
            explained=_CIRCUIT,
        ),
    )
}
"""Name -> method."""

FIELDS = tuple(dict.fromkeys(field for method in METHODS.values() for field in method.fields))
"""Fields of an experiment that belong to single methods."""
UNFILTERED = ", unfiltered"
"""Behind the name of an effect that is of all pairs, whether or not the LM answers them rightly."""


def effects_on(method: Method, measure: str) -> dict[str, Effect]:
    """Name -> effect, of those that there are of a measure.

    Args:
        method: The method.
        measure: Name of the measure.
    """
    found = {
        name: effect
        for name, effect in method.effects.items()
        if not effect.measures or measure in effect.measures
    }
    replaced = {effect.replaces for effect in found.values()}
    return {name: effect for name, effect in found.items() if name not in replaced}


def scaled(effect: Effect, y: Numbers, *, ratio: bool) -> float:
    """An effect; of a measure that is a ratio, as a share of the unchanged run's.

    Args:
        effect: The effect.
        y: Run -> the measure.
        ratio: Whether the measure is one of odds, so that effects are relative to the unchanged
            run's, as those of Vig et al. (2020).
    """
    found = effect.of(y)
    return found / y[CLEAN] if ratio and not effect.relative else found
