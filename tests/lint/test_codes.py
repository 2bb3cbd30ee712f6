"""For every code a flaw planted in a task without any: it is found, there, and nothing else is."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cfgen.lint import CODES, TOKEN_CODES, lint_task, run
from cfgen.lint.determinism import check_determinism
from tests.sampling import one_in

if TYPE_CHECKING:
    from tests.lint.conftest import Project

ROOT = Path(__file__).parents[2]
TASK, LEXICON = "causal_models/toy.py", "data/lexicons/toys.txt"
PLAIN, SHORT, WHICH = (f"templates/toy/{name}.jinja" for name in ("plain", "short", "_which"))
ANSWER = "@model.variable\ndef answer(pointer: int, words: tuple[str, ...]"
MOOD = 'model.input("mood"'
UNSTEADY_MOODS = '[*{"calm", "loud", "glad", "sad"}]'
DESIGN = "]\nhypotheses"
KEPT = 'Design("kept", [edits.resample("words", disjoint=True)], contrast=["pointer"])'
HYPOTHESIS = "]\ntask"
SEEN = """@model.variable
def seen(asked: int) -> bool:
    return asked < 5


@model.variable
def pointer(asked: int, seen: bool) -> int:
    return asked if seen else 0"""
AGAIN = 'Hypothesis("again", interchange=["pointer"], site=Site("list"))'
PAYLOAD = 'Hypothesis("payload", interchange=["answer"])'
IDLE = 'Hypothesis("idle", interchange=["mood"])'
VERSION, SO_BE_IT = 'version="1", allow={"', '": "so be it"}'
MOSTLY_SECOND = (
    (TASK, '"asked", integers(0, 1)', '"asked", integers(0, 9)'),
    (TASK, 'edits.flip("asked")', 'edits.set("asked", 0)'),
    (PLAIN, "asked == 0", "asked < 2"),
    (WHICH, "asked == 0", "asked < 2"),
)


@dataclass(frozen=True)
class Flaw:
    """One flaw.

    ``old`` is replaced by ``new`` in ``file`` (which is made if ``old`` is empty). It is found in
    that file, or in ``found``, in the line that has the text ``line`` (after ``|``: in the line
    before), and is about ``about``.
    """

    code: str
    file: str
    old: str
    new: str
    line: str
    about: str
    also: tuple[tuple[str, str, str], ...] = ()
    found: str = ""

    def plant(self, project: Project) -> None:
        for name, old, new in ((self.file, self.old, self.new), *self.also):
            project.plant({name: (old, new) if old else new})

    def place(self, project: Project) -> str:
        name = self.found or self.file
        marker = self.line.removeprefix("|")
        file, _, line = project.line(name, marker).rpartition(":")
        return f"{file}:{int(line) - (marker != self.line)}"


def unsteady(body: str) -> Flaw:
    """A variable that the answer depends on, and that is not the same every time."""
    made = f"@model.variable\ndef lot(words):\n    {body}\n\n\n"
    new = f"{made}{ANSWER}, lot"
    back = "return words[pointer] if lot else ''"
    return Flaw(
        "not-deterministic",
        TASK,
        ANSWER,
        new,
        "|def lot",
        "lot",
        ((TASK, "return words[pointer]", back),),
    )


def required(code: str, condition: str, about: str) -> Flaw:
    """A requirement that hardly anything breaks, or meets."""
    parent = condition.strip("(").split(maxsplit=1)[0].split("[")[0]
    rule = f"@model.require\ndef fits({parent}):\n    return {condition}\n\n\n"
    number = 'model.input("number", integers(0, 2999))\n'
    also = (
        (TASK, MOOD, number + MOOD),
        (PLAIN, "My", "{{ number }} My"),
        (PLAIN, "shows: [", "shows: [number, "),
        (SHORT, "{% include", "{{ number }} {% include"),
        (SHORT, "shows: [", "shows: [number, "),
    )
    also = also if parent == "number" else ()
    return Flaw(code, TASK, ANSWER, f"{rule}{ANSWER}", "|def fits", about, also)


FLAWS = [
    Flaw("input-unused", TASK, MOOD, f'model.input("x", integers(0, 1))\n{MOOD}', '"x"', "x"),
    Flaw("parent-unused", TASK, "(asked:", "(mood, asked:", "|def pointer", "pointer"),
    Flaw("input-not-shown", SHORT, ", asked]", "]", "shows:", "short", ((WHICH, "", "Now\n"),)),
    *(
        Flaw("site-impossible", TASK, 'Site("last")', site, '"pointer", inter', "pointer")
        for site in (
            'Site(component="resid_pst")',
            "Site(head=2)",
            'Site(component="q", neurons=(1,))',
        )
    ),
    Flaw("model-unknown", TASK, '"smollm2-135m"', '"smolm2"', "task = ", "smolm2"),
    Flaw("model-unknown", TASK, '"smollm2-135m"', '"./nowhere"', "task = ", "./nowhere"),
    required("requirement-idle", 'asked != "1"', "fits"),
    required("requirement-idle", "words[0] != words[1]", "fits"),
    required("requirement-rare", "(number * 7) % 300 == 0", "toy"),
    Flaw("lexicon-unused", "data/lexicons/spare.txt", "", "one\n", "one", "spare"),
    unsteady("return 1 + hash(words[0]) % 1000"),
    unsteady("import random; return len(words) + random.random()"),
    unsteady("return list(set(words) | {'a', 'b', 'c', 'd', 'e', 'f'})"),
    Flaw("not-deterministic", TASK, '["calm", "loud"]', UNSTEADY_MOODS, '"mood"', "mood"),
    Flaw("branch-never-taken", PLAIN, 'mood == "calm"', 'mood == "clam"', "{%- if", "plain"),
    Flaw(
        "branch-never-taken",
        PLAIN,
        "{% else",
        '{% elif mood == "sad" %}\n{% else',
        "{% elif",
        "plain",
    ),
    Flaw(
        "branch-never-taken",
        PLAIN,
        "{% else",
        '{% elif mood == "loud" %} loud\n{% else',
        "{% else",
        "plain",
    ),
    Flaw(
        "branch-never-taken",
        PLAIN,
        '" other" }}',
        '(" other" if asked < 2 else " no") }}',
        "{{- ",
        "plain",
    ),
    Flaw(
        "branch-never-taken",
        PLAIN,
        '" first" if asked == 0',
        '" none" if asked == 2 else " first" if asked == 0',
        "{{- ",
        "plain",
    ),
    Flaw(
        "branch-never-taken", WHICH, "{% else", "{% elif asked == 2 %}\n{% else", "{% elif", "short"
    ),
    Flaw(
        "branch-never-taken",
        PLAIN,
        "My",
        "{% for x in words %}{% else %}!{% endfor %}My",
        "{% for",
        "plain",
    ),
    Flaw("trailing-space", PLAIN, " answer,", " answer, \nnow", "answer, ", "plain"),
    Flaw("trailing-space", PLAIN, " answer,", " {{ mood }} {{ '\\n' }}x", "{% span", "plain"),
    Flaw("double-space", PLAIN, " and ", "  and ", "{% span", "plain"),
    Flaw(
        "double-space",
        PLAIN,
        " answer,",
        " {% if asked < 9 %}{% endif %} answer,",
        "{% span",
        "plain",
    ),
    Flaw("support-impossible", SHORT, "[calm]", "[calm, clam]", "supports:", "short"),
    Flaw(
        "prompt-ambiguous",
        PLAIN,
        '" first" if asked == 0 else " other"',
        '" thing" if asked == 0 else " thing"',
        "shows:",
        "plain",
    ),
    Flaw(
        "prompt-ambiguous",
        PLAIN,
        "shows: [words, asked, mood]",
        "shows: [words, seen, mood]",
        "shows:",
        "plain",
        (
            (PLAIN, '{{- " first" if asked == 0 else " other" }}', "{{- seen }}"),
            (TASK, "@model.variable\ndef pointer(asked: int) -> int:\n    return asked", SEEN),
        ),
    ),
    Flaw("partial-unused", "templates/toy/_old.jinja", "", "x\n", "x", "_old"),
    Flaw(
        "span-missing",
        TASK,
        '"last"',
        '"list"',
        '"pointer", inter',
        "pointer",
        ((SHORT, "list", "two"),),
    ),
    Flaw(
        "span-missing",
        TASK,
        '"last"',
        'frozen="word_1[1]"',
        '"pointer", inter',
        "pointer",
        ((SHORT, "word_2 }}.", "word_2 }}, {{ word_1 }}."),),
    ),
    Flaw(
        "design-changes-nothing",
        TASK,
        DESIGN,
        f'    Design("still", []),\n{DESIGN}',
        '"still"',
        "still",
    ),
    Flaw("design-never-decides", TASK, DESIGN, f"    {KEPT},\n{DESIGN}", '"kept"', "kept"),
    Flaw(
        "hypotheses-never-separated",
        TASK,
        HYPOTHESIS,
        f"    {AGAIN},\n{HYPOTHESIS}",
        '"again"',
        "pointer,again",
    ),
    Flaw(
        "predicts-as-all", TASK, HYPOTHESIS, f"    {PAYLOAD},\n{HYPOTHESIS}", '"payload"', "payload"
    ),
    Flaw("predicts-as-none", TASK, HYPOTHESIS, f"    {IDLE},\n{HYPOTHESIS}", '"idle"', "idle"),
    Flaw(
        "answer-undeclared",
        TASK,
        'version="1"',
        'version="1", candidates=["ball", "bear", "boat", "drum", "kite", "lamp", "ring"]',
        "|def answer",
        "sled",
    ),
    Flaw("answer-space", TASK, "words[pointer]", 'words[pointer] + " "', "|def answer", "answer"),
    Flaw("answer-spelling", LEXICON, "boat", "Ball", "|def answer", "Ball", found=TASK),
    Flaw(
        "shortcut",
        TASK,
        "return asked",
        "return int(asked > 1)",
        "    Design(",
        "other",
        MOSTLY_SECOND,
    ),
    Flaw(
        "allowance-unknown",
        TASK,
        'version="1"',
        f"{VERSION}predict-as-all{SO_BE_IT}",
        "task = ",
        "predict-as-all",
    ),
    Flaw(
        "allowance-unused",
        TASK,
        'version="1"',
        f"{VERSION}shortcut:other{SO_BE_IT}",
        "task = ",
        "shortcut:other",
    ),
]


def name_of(flaw: Flaw) -> str:
    return f"{flaw.code}-{FLAWS.index(flaw)}"


@pytest.fixture(autouse=True)
def one_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for what is not deterministic, which takes two processes, only where it is planted."""
    flaw = getattr(request.node, "callspec", None) and request.node.callspec.params.get("flaw")
    if flaw and flaw.code != "not-deterministic":
        kept = tuple(check for check in run.ON_TASKS if check is not check_determinism)
        monkeypatch.setattr(run, "ON_TASKS", kept)


def test_the_task_has_no_flaw(project: Project) -> None:
    report = lint_task("toy")
    assert report.findings == report.allowed == ()
    assert report.loaded


@pytest.mark.parametrize("flaw", one_in(4, FLAWS), ids=name_of)
def test_the_flaw_is_found_where_it_is_and_nothing_else(flaw: Flaw, project: Project) -> None:
    flaw.plant(project)
    report = lint_task("toy")
    found = [(item.code, item.where, item.about) for item in report.findings]
    assert found == [(flaw.code, flaw.place(project), flaw.about)], report.findings
    assert report.findings[0].hint


@pytest.mark.parametrize("flaw", one_in(4, FLAWS), ids=name_of)
def test_it_can_be_allowed_with_a_reason(flaw: Flaw, project: Project) -> None:
    if flaw.code not in CODES:
        assert flaw.code.startswith("allowance-")
        return
    flaw.plant(project)
    key = flaw.code if "," in flaw.about else f"{flaw.code}:{flaw.about}"
    project.plant({TASK: ('version="1"', f"{VERSION}{key}{SO_BE_IT}")})
    report = lint_task("toy")
    assert report.findings == ()
    assert [(a.finding.code, a.reason) for a in report.allowed] == [(flaw.code, "so be it")]


def test_every_code_has_a_flaw() -> None:
    planted = {flaw.code for flaw in FLAWS}
    assert planted - {"allowance-unknown", "allowance-unused"} == CODES - TOKEN_CODES


def test_codes_are_those_found_and_those_documented() -> None:
    found = {
        node.args[0].value
        for path in (ROOT / "cfgen/lint").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "Finding" and node.args and isinstance(node.args[0], ast.Constant)
    }
    page = (ROOT / "docs/errors/lint.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^## (\S+)$", page, re.MULTILINE))
    assert found == documented == CODES | {"allowance-unknown", "allowance-unused", "check-not-run"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os; os._exit(3)", "it ended with 3"),
        ("import sys; sys.stderr.write('no luck'); os._exit(0)", "no luck"),
        ("raise RuntimeError('only here')", "only here"),
    ],
)
def test_a_check_that_could_not_run_is_found(body: str, said: str, project: Project) -> None:
    elsewhere = f"import os\nif os.environ.get('PYTHONSAFEPATH'):\n    {body}\n"
    project.plant(
        {TASK: ("from cfgen import CausalModel", f"{elsewhere}from cfgen import CausalModel")}
    )
    (finding,) = lint_task("toy").findings
    assert finding.code == "check-not-run"
    assert said in finding.detail


def test_what_a_task_prints_is_not_taken_for_its_values(project: Project) -> None:
    noise = "import atexit\nprint('values')\natexit.register(print, '[]')\n"
    project.plant(
        {TASK: ("from cfgen import CausalModel", f"{noise}from cfgen import CausalModel")}
    )
    assert lint_task("toy").findings == ()


def test_what_accept_makes_of_all_answers_is_looked_at(project: Project) -> None:
    wrong = 'accept=lambda word: [] if word == "sled" else [word], version="1"'
    project.plant({TASK: ('version="1"', wrong)})
    (finding,) = lint_task("toy").findings
    assert finding.code == "bad-accept"
    assert "accept('sled') gives no text" in finding.message
