"""Experiments as files: every mistake has its line and its code, and what is written reads back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.cli.main import app
from cfgen.errors import CfgenError
from cfgen.experiments import (
    FLAGS,
    EngineOptions,
    Experiment,
    SiteOptions,
    SweepOptions,
    experiment_of,
    override,
    read_experiment,
    write_experiment,
)
from tests.experiments.strategies import EXPERIMENTS, TEXTS


def read(tmp_path: Path, text: str | bytes, *overrides: str, named: bool = True) -> Experiment:
    path = tmp_path / "first.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_experiment(path, overrides, named=named)


def found(tmp_path: Path, text: str | bytes, *overrides: str) -> list[tuple[int, str, str]]:
    """Line, code, and message with hint, of every problem."""
    with pytest.raises(CfgenError) as raised:
        read(tmp_path, text, *overrides)
    problems = []
    for problem in raised.value.problems:
        line = re.search(r"first\.yaml:(\d+)$", problem.where)
        problems.append((int(line[1]) if line else 0, problem.code, str(problem)))
    return problems


# What is right

WHOLE = """\
# a comment
method: interchange
task: belief_tracking
design: restate
n: 32
kept: true
seed: 3
split: validation
splits: 60/20/20
templates: all
balance: true
tokenizers: [a, ./b]
models:
  - smollm2-belief
  - no
chat: false
hypotheses:
  answer_pointer:
  answer_payload: {positions: last, align: word, component: head_out, head: 2}
  binding:
    positions: [drink_1, "drink_2[0]+1", story/drink_1.all]
    frozen: last
sweep: {layers: window(3), over: 5, heads: all, positions: every}
measures: kl
engine: {name: packed, device: "cuda:1", dtype: bfloat16, batch_size: 8, verify: 0}
"""


def test_a_file_says_what_the_record_says(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE) == Experiment(
        task="belief_tracking",
        design="restate",
        n=32,
        kept=True,
        seed=3,
        split="validation",
        splits="60/20/20",
        templates=("all",),
        balance=True,
        tokenizers=("a", "./b"),
        models=("smollm2-belief", "no"),
        hypotheses={
            "answer_pointer": None,
            "answer_payload": SiteOptions(
                positions=("last",), align="word", component="head_out", head=2
            ),
            "binding": SiteOptions(
                positions=("drink_1", "drink_2[0]+1", "story/drink_1.all"), frozen=("last",)
            ),
        },
        sweep=SweepOptions(layers="window(3)", over="5", heads="all", positions="every"),
        measures=("kl",),
        engine=EngineOptions(
            name="packed", device="cuda:1", dtype="bfloat16", batch_size=8, verify=0
        ),
    )


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("task: no", {"task": "no"}),
        ("task: ioi\ndesign: on", {"design": "on"}),
        ("task: ioi\ndesign: 2024-01-01", {"design": "2024-01-01"}),
        ("task: ioi\ndesign: 1e3", {"design": "1e3"}),
        ("task: ioi\ndesign: 0x10", {"design": "0x10"}),
        ("task: ioi\ndesign: 12:30:45", {"design": "12:30:45"}),
        ('task: ioi\ndesign: "7"', {"design": "7"}),
        ("task: ioi\ndesign: null", {"design": None}),
        ("task: ioi\r\nn: 3\r\n", {"n": 3}),
        ("\ufefftask: ioi", {"task": "ioi"}),
        ("dataset: some/folder\nsplit: train\nkept: true", {"dataset": "some/folder"}),
        ("pairs: mine.csv\ncolumns: {original: a}\nhypotheses: [all]", {"pairs": "mine.csv"}),
        ("task: ioi\nmodels: &m [a]\ntokenizers: *m", {"models": ("a",), "tokenizers": ("a",)}),
        ("{task: ioi, n: 5}", {"task": "ioi", "n": 5}),
    ],
)
def test_text_stays_what_it_is(tmp_path: Path, text: str, fields: dict[str, Any]) -> None:
    experiment = read(tmp_path, text)
    assert {name: getattr(experiment, name) for name in fields} == fields


# What is wrong

LAUGHS = "a: &a0 [x, x]\n" + "".join(
    f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
WRONG: list[tuple[str | bytes, list[tuple[int, str]], str]] = [
    # as YAML
    ("", [(1, "experiment-syntax")], "nothing in it"),
    ("# only a comment\n", [(1, "experiment-syntax")], "nothing in it"),
    ("- task: ioi\n", [(1, "experiment-syntax")], "a list"),
    ("ioi\n", [(1, "experiment-syntax")], "mapping of fields"),
    ("null\n", [(1, "experiment-syntax")], "nothing in it"),
    ("task: ioi\nsweep:\n\tover: 3\n", [(3, "experiment-syntax")], "not with tabs"),
    ("task: ioi\nmodels: [a, b\n", [(3, "experiment-syntax")], "not YAML"),
    ("task: ioi\ndesign: a: b\n", [(2, "experiment-syntax")], "in quotes"),
    ("task: ioi\nmodels: *them\n", [(2, "experiment-syntax")], "alias"),
    ("task: ioi\nmodels: &a [*a]\n", [(2, "experiment-syntax")], "nested"),
    ("task: ioi\n" + LAUGHS, [(2, "experiment-syntax")], "20,000 values"),
    ("task: ioi\nn: " + "[" * 5000, [(1, "experiment-syntax")], "nested"),
    ("task: ioi\nn: " + "[" * 20 + "]" * 20, [(2, "experiment-syntax")], "nested"),
    ("task: ioi\n---\ntask: ioi\n", [(2, "experiment-syntax")], "another document"),
    ("task: ioi\n? [a]\n: b\n", [(2, "experiment-syntax")], "key"),
    ("task: ioi\ndesign: !!python/name:os.system x\n", [(2, "experiment-syntax")], "tag"),
    ("task: ioi\nn: !!int x\n", [(2, "experiment-syntax"), (2, "experiment-value")], "no int"),
    ("task: ioi\ndesign: '\x07'\n", [(2, "experiment-syntax")], r"\x07"),
    ('task: ioi\ndesign: "\\U00110000"\n', [(1, "experiment-syntax")], "not YAML"),
    (b"task: ioi\ndesign: caf\xe9\n", [(2, "text-file")], "UTF-8"),
    ("task: ioi\n" + "# much\n" * 50_000, [(0, "no-experiment-file")], "bytes"),
    # keys
    ("task: ioi\nn: 3\ntask: mcqa\n", [(3, "experiment-repeated")], "first on line 1"),
    ("task: ioi\nsweep:\n  over: 3\n  over: 4\n", [(4, "experiment-repeated")], "over"),
    ("task: ioi\nhypotheses: {a: , a: }\n", [(2, "experiment-repeated")], "'a'"),
    ("task: ioi\nmodel: a\n", [(2, "experiment-field")], "did you mean 'models'?"),
    ("task: ioi\nsweep:\n  overs: 3\n", [(3, "experiment-field")], "did you mean 'over'?"),
    ("task: ioi\nover: 3\n", [(2, "experiment-field")], "write sweep.over"),
    ("task: ioi\ndevice: cpu\n", [(2, "experiment-field")], "write engine.device"),
    (
        "task: ioi\nhypotheses:\n  a:\n    position: last\n",
        [(4, "experiment-field")],
        "did you mean 'positions'?",
    ),
    # values
    ("task: ioi\nn: 1e3\n", [(2, "experiment-value")], "write 1000"),
    ("task: ioi\nn: 6.4\n", [(2, "experiment-value")], "whole number"),
    ('task: ioi\nn: "64"\n', [(2, "experiment-value")], "leave the quotes"),
    ("task: ioi\nn: 064\n", [(2, "experiment-value")], "64"),
    ("task: ioi\nn: true\n", [(2, "experiment-value")], "whole number"),
    ("task: ioi\nn: 0\n", [(2, "experiment-value")], "less than 1"),
    ("task: ioi\nn: " + "9" * 6000 + "\n", [(2, "experiment-value")], "whole number"),
    ("task: ioi\nn:\n", [(2, "experiment-value")], "no value"),
    ("task: ioi\nsweep:\n", [(2, "experiment-value")], "no value"),
    ("task: ioi\nchat: yes\n", [(2, "experiment-value")], "write true"),
    ("task: ioi\nkept: off\n", [(2, "experiment-value")], "write false"),
    ("task: ioi\nchat: 1\n", [(2, "experiment-value")], "true or false"),
    ("task: true\n", [(1, "experiment-value")], 'in quotes: "true"'),
    ("task: ioi\nmodels:\n- a\n- 7\n", [(4, "experiment-value")], 'in quotes: "7"'),
    ("task: ioi\ndesign: [a]\n", [(2, "experiment-value")], "a list is not text"),
    ("task: ioi\nsweep: 20-29\n", [(2, "experiment-value")], "mapping of fields"),
    ("task: ioi\nhypotheses: {a: last}\n", [(2, "experiment-value")], "mapping of fields"),
    ("task: ioi\nhypotheses: [{a: last}]\n", [(2, "experiment-value")], "mapping of names"),
    ("task: ioi\nmethod: interchanges\n", [(2, "experiment-value")], "mean 'interchange'?"),
    ("task: ioi\nengine: {name: pack}\n", [(2, "experiment-value")], "mean 'packed'?"),
    ("task: ioi\nengine: {dtype: fp16}\n", [(2, "experiment-value")], "float16"),
    ("task: ioi\nengine:\n  device: gpu\n", [(3, "experiment-value")], "write cuda"),
    ("task: ioi\nhypotheses: {a: {align: wrd}}\n", [(2, "experiment-value")], "mean 'word'?"),
    ("task: ioi\nsweep: {layers: upto}\n", [(2, "experiment-value")], "mean 'up_to'?"),
    ("task: ioi\nsweep: {layers: window(0)}\n", [(2, "experiment-value")], "window(k)"),
    ("task: ioi\nsweep: {heads: al}\n", [(2, "experiment-value")], "mean 'all'?|a list of heads"),
    ("task: ioi\nsweep:\n  heads:\n  - 0\n  - x\n", [(5, "experiment-value")], "heads"),
    ("task: ioi\nsweep: {heads: [-1]}\n", [(2, "experiment-value")], "less than 0"),
    ("task: ioi\nsweep: {heads: []}\n", [(2, "experiment-value")], "empty"),
    ("task: ioi\nmeasures: []\n", [(2, "experiment-value")], "empty"),
    ('task: ioi\ndesign: ""\n', [(2, "experiment-value")], "empty"),
    ("task: ioi\nmodels: [a,\n  b, a]\n", [(3, "experiment-repeated")], "twice"),
    ("task: ioi\nhypotheses: [a, a]\n", [(2, "experiment-repeated")], "twice"),
    # notations of their own
    ("task: ioi\nsweep: {over: 3-1}\n", [(2, "bad-layers")], "range"),
    ("task: ioi\nsweep: {over: -1}\n", [(2, "bad-layers")], "range"),
    ("task: ioi\nsplits: 80/20\n", [(2, "bad-shares")], "three numbers"),
    ("task: ioi\nsplit: tests\n", [(2, "experiment-value")], "mean 'test'?"),
    ("task: ioi\nsplit: test\nsplits: 1/0/0\n", [(2, "experiment-value")], "no share"),
    ("task: ioi\nmeasures:\n  - iia\n  - logit_diff\n", [(4, "unknown-measure")], "difference"),
    ('task: ioi\nhypotheses: {a: {positions: "x["}}\n', [(2, "position-syntax")], "x["),
    ("task: ioi\nsweep: {component: resid}\n", [(2, "unknown-component")], "did you mean"),
    (
        "task: ioi\nsweep:\n  component: resid_post\n  heads: all\n",
        [(4, "no-such-head")],
        "no heads",
    ),
    (
        "task: ioi\nhypotheses:\n  a:\n    neurons: [3]\n    component: head_out\n",
        [(4, "no-such-neuron")],
        "neuron",
    ),
    # together
    ("n: 3\n", [(1, "experiment-source")], "where pairs come from"),
    ("task:\nn: 3\n", [(1, "experiment-source")], "where pairs come from"),
    ("task: ioi\nn: 3\ndataset: x\n", [(3, "experiment-source")], "task and dataset"),
    ("task: ioi\ncolumns: {a: b}\n", [(2, "experiment-no-meaning")], "columns"),
    ("dataset: x\ncolumns: {a: b}\n", [(2, "experiment-no-meaning")], "columns"),
    *[
        (f"dataset: x\n{field}\n", [(2, "experiment-no-meaning")], "already")
        for field in (
            "design: a",
            "seed: 0",
            "splits: 80/10/10",
            "templates: all",
            "balance: false",
            "tokenizers: a",
        )
    ],
    (
        "seed: 0\npairs: x\nsplit: test\n",
        [(1, "experiment-no-meaning"), (3, "experiment-no-meaning")],
        "no splits",
    ),
    ("task: causal_models/ioi.py\n", [(1, "experiment-task-path")], "write `task: ioi`"),
    ("task: ./ioi\n", [(1, "experiment-task-path")], "write `task: ioi`"),
    # all at once, in the order of lines
    (
        "modles: a\nn: x\nsweep:\n  over: z\n  layer: each\nmeasures: ia\nn: 3\n",
        [
            (1, "experiment-field"),
            (1, "experiment-source"),
            (2, "experiment-value"),
            (4, "bad-layers"),
            (5, "experiment-field"),
            (6, "unknown-measure"),
            (7, "experiment-repeated"),
        ],
        "did you mean 'layers'?",
    ),
]


@pytest.mark.parametrize(("text", "expected", "said"), WRONG, ids=range(len(WRONG)))
def test_mistakes(
    tmp_path: Path, text: str | bytes, expected: list[tuple[int, str]], said: str
) -> None:
    problems = found(tmp_path, text)
    assert [(line, code) for line, code, _ in problems] == expected
    together = "\n".join(message for _, _, message in problems)
    assert any(part in together for part in said.split("|")), together
    assert len(together) < 3000


@pytest.mark.parametrize("name", ["none.yaml", ".", "a\0b.yaml", "x" * 5000])
def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CfgenError, match="no-experiment-file"):
        read_experiment(Path(name))


# Over a file


def test_fields_over_a_file(tmp_path: Path) -> None:
    text = "task: ioi\nn: 5\nhypotheses: [a, b]\nsweep: {over: 3, layers: up_to}\n"
    changed = read(
        tmp_path,
        text,
        "n=7",
        "sweep.over=20-29",
        "models=[x, y]",
        "hypotheses.a.positions=item[0]",
        "engine.verify=0",
    )
    assert changed == Experiment(
        task="ioi",
        n=7,
        hypotheses={"a": SiteOptions(positions=("item[0]",)), "b": None},
        sweep=SweepOptions(over="20-29", layers="up_to"),
        models=("x", "y"),
        engine=EngineOptions(verify=0),
    )
    assert override(read(tmp_path, text), ["n=null", "sweep=null", "hypotheses=null"]) == (
        Experiment(task="ioi")
    )
    assert override(changed, []) == changed


def test_a_field_of_a_hypothesis_over_a_wrong_list_of_them(tmp_path: Path) -> None:
    problems = found(tmp_path, "task: ioi\nhypotheses: [{a: b}]", "hypotheses.a.head=3")
    assert [(line, code) for line, code, _ in problems] == [
        (2, "experiment-value"),
        (0, "bad-setting"),
    ]


def test_another_source_takes_the_place_of_the_one_in_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, "task: ioi\nn: 5", "dataset=d") == Experiment(dataset="d", n=5)
    problems = found(tmp_path, "task: ioi\nseed: 5", "dataset=d")
    assert [(line, code) for line, code, _ in problems] == [(2, "experiment-no-meaning")]


def test_a_task_may_be_a_path_on_the_command_line_only(tmp_path: Path) -> None:
    path = "causal_models/ioi.py"
    assert read(tmp_path, "task: ioi", f"task={path}").task == path
    assert experiment_of(path, {}) == Experiment(task=path)
    # a folder of results keeps what was asked
    assert read(tmp_path, write_experiment(Experiment(task=path)), named=False).task == path


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("n", "bad-setting", "--set n: this is not KEY=VALUE"),
        ("=3", "bad-setting", "KEY=VALUE"),
        ("sweep..over=3", "bad-setting", "KEY=VALUE"),
        ("n=", "bad-setting", "null"),
        ("n=1e3", "experiment-value", "--set n=1e3: n: '1e3' is not a whole number"),
        ("n=[", "experiment-syntax", "--set n=[: this is not YAML"),
        ("n.x=3", "bad-setting", "n is 5, and has no fields"),
        ("m=3", "experiment-field", "--set m=3: there is no field m"),
        ("swep.over=3", "experiment-field", "did you mean 'sweep'?"),
        ("sweep.ovr=3", "experiment-field", "did you mean 'over'?"),
        ("sweep={over: 3, over: 4}", "experiment-repeated", "'over' stands twice"),
        ("engine.device=gpu", "experiment-value", "--set engine.device=gpu"),
    ],
)
def test_mistakes_in_settings(tmp_path: Path, setting: str, code: str, said: str) -> None:
    text = "task: ioi\nn: 5\n"
    problems = found(tmp_path, text, setting)
    assert [(line, one) for line, one, _ in problems] == [(0, code)]
    assert said in problems[0][2]
    with pytest.raises(CfgenError, match=re.escape(said)):
        override(read(tmp_path, text), [setting])


# The command line


def test_every_option_sets_a_field_that_there_is() -> None:
    records = {"sweep": SweepOptions, "engine": EngineOptions}
    for key in FLAGS:
        outer, _, inner = key.rpartition(".")
        assert inner in (records[outer] if outer else Experiment).model_fields
    with typer.main.get_command(app).make_context("cfgen", ["tasks"]) as context:
        run = typer.main.get_command(app).get_command(context, "run")  # type: ignore[attr-defined]
    options = [option for parameter in run.params for option in parameter.opts]
    assert set(FLAGS.values()) <= set(options)
    assert len(set(FLAGS.values())) == len(FLAGS)


def test_options_that_are_not_given_leave_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "first.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    assert experiment_of(str(path), dict.fromkeys(FLAGS)) == read_experiment(path)
    assert experiment_of("ioi", dict.fromkeys(FLAGS)) == Experiment(task="ioi")


def test_options_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "first.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    given = {
        "n": 3,
        "hypotheses": ["binding"],
        "sweep.over": "1-2",
        "sweep.positions": ["last", "item_1"],
        "sweep.heads": "0,3-4",
        "chat": True,
        "kept": False,
        "templates": [],
    }
    changed, before = experiment_of(str(path), given, ["engine.verify=7"]), read(tmp_path, WHOLE)
    assert changed.hypotheses == {"binding": before.hypotheses["binding"]}
    assert changed == before.model_copy(
        update={
            "n": 3,
            "hypotheses": {"binding": before.hypotheses["binding"]},
            "chat": True,
            "kept": False,
            "sweep": SweepOptions(
                layers="window(3)", over="1-2", heads=(0, 3, 4), positions=("last", "item_1")
            ),
            "engine": before.engine.model_copy(update={"verify": 7}),
        }
    )
    assert experiment_of("ioi", {"sweep.positions": ["every"]}).sweep.positions == "every"
    assert experiment_of(None, {"dataset": "d"}) == Experiment(dataset="d")


@pytest.mark.parametrize(
    ("what", "given", "said"),
    [
        (None, {}, "nothing says where pairs come from"),
        ("ioi", {"dataset": "d"}, "--dataset: pairs come from one place"),
        ("ioi", {"sweep.over": "3-1"}, "--layers: layers 3-1"),
        ("ioi", {"sweep.heads": "x"}, "--heads: 'x' is neither all nor a list of heads"),
        ("ioi", {"sweep.layers": "upto"}, "--sweep: sweep.layers: 'upto' is not each"),
        ("ioi", {"measures": ["ia"]}, "--measure: there is no measure 'ia'"),
        ("ioi", {"engine.dtype": "int8"}, "--dtype: engine.dtype"),
        ("ioi", {"hypotheses": ["a", "a"]}, "--hypothesis: hypotheses has 'a' twice"),
        (None, {"pairs": "p", "design": "d"}, "--design: design has no meaning here"),
        ("none.yaml", {}, "there is no file none.yaml"),
    ],
)
def test_mistakes_on_the_command_line(what: str | None, given: dict[str, Any], said: str) -> None:
    with pytest.raises(CfgenError, match=re.escape(said)):
        experiment_of(what, given)


def test_the_same_field_twice_on_the_command_line() -> None:
    with pytest.raises(CfgenError, match="--set n=3: n is given twice"):
        experiment_of("ioi", {"n": 3}, ["n=3"])


# What is written reads back

ONE_FOLDER = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.slow
@ONE_FOLDER
@given(EXPERIMENTS)
def test_what_is_written_reads_back(tmp_path: Path, experiment: Experiment) -> None:
    text = write_experiment(experiment)
    again = read(tmp_path, text)
    assert again == experiment
    assert list(again.hypotheses) == list(experiment.hypotheses)
    assert write_experiment(again) == text
    assert text.startswith(f"method: {experiment.method}\n")
    assert override(experiment, []) == experiment


def test_only_what_is_no_default_is_written() -> None:
    assert write_experiment(Experiment(task="ioi")) == "method: interchange\ntask: ioi\n"
    full = Experiment(
        task="ioi",
        hypotheses={"a": None, "b": None},
        sweep=SweepOptions(over="5"),
        engine=EngineOptions(verify=0),
    )
    assert write_experiment(full) == (
        "method: interchange\ntask: ioi\nhypotheses: [a, b]\nsweep:\n  over: '5'\n"
        "engine:\n  verify: 0\n"
    )


# Whatever is given, no traceback

PIECES = ["task", "n", "sweep", "over", "hypotheses", "a", ":", ": ", "\n", "  ", "- ", "[", "]"]
PIECES += ["{", "}", ",", "&a", "*a", "!!int", "!", "|", ">", '"', "'", "#", "?", "---", "...", "%"]
PIECES += [
    "<<",
    "3",
    "-1",
    "1e3",
    "yes",
    "null",
    "~",
    "\t",
    "\u2028",
    "é",
    "\\",
    "\\x",
    "models",
    "@",
]
BROKEN = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*Experiment.model_fields, *FLAGS, "x", "hypotheses.a.head", "sweep.x.y"])


@ONE_FOLDER
@given(BROKEN | st.binary(max_size=40))
def test_any_text_is_an_experiment_or_a_mistake(tmp_path: Path, text: str | bytes) -> None:
    try:
        read(tmp_path, text)
    except CfgenError as error:
        str(error).encode()


@ONE_FOLDER
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.lists(st.tuples(KEYS, BROKEN), max_size=3))
def test_any_fields_are_an_experiment_or_a_mistake(
    tmp_path: Path, fields: dict[str, Any], settings: list[tuple[str, str]]
) -> None:
    overrides = [f"{key}={value}" for key, value in settings]
    try:
        read(tmp_path, yaml.safe_dump({"task": "ioi", **fields}), *overrides)
    except CfgenError as error:
        str(error).encode()
    try:
        experiment_of(
            "ioi", {key: value for key, value in fields.items() if key in FLAGS}, overrides
        )
    except CfgenError as error:
        str(error).encode()


@pytest.mark.slow
def test_of_very_many_problems_only_the_first_are_told(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("task: ioi\n" + "".join(f"key_{n}: 1\n" for n in range(12_000)))
    with pytest.raises(CfgenError) as raised:
        read_experiment(path)
    problems = raised.value.problems
    assert len(problems) == 41
    assert problems[-1].message == "and 11,960 more problems, from here on"
    assert problems[-1].where.endswith("many.yaml:42")


def test_lists_of_python_are_lists_however_deep_they_lie() -> None:
    sweep = {"heads": [0, 4], "positions": ["last"], "component": "head_out"}
    made = experiment_of("ioi", {"sweep": sweep, "measures": ["iia"]})
    assert made.sweep.heads == (0, 4)
    assert made.sweep.positions == ("last",)
    site = {"output_token": {"positions": ["last"], "neurons": [1, 2], "component": "mlp_neuron"}}
    tested = experiment_of("ioi", {"hypotheses": site}).hypotheses["output_token"]
    assert tested is not None
    assert tested.neurons == (1, 2)
