"""Tasks and lexicons that somebody writes wrongly, and command lines that mean nothing.

Every verb that needs no LM ends as documented: with 0, 1 or 2, an error with a remedy, and
nothing that is half written.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from cfgen.paths import builtin_root
from tests.cli.conftest import TASK, Cli, Ended
from tests.hostile import NAMES, NUMBERS, damaged, fuzzed, limited, rewritten, tree
from tests.projects import put_files

WORDS = (
    *("def", "return", "class", "lambda", "async def", "yield", "await", "raise", "import", "del"),
    *("None", "True", "0", "-1", "10**30", "10**4400", "1.5", "float('nan')", "1e308", "2j", "..."),
    *('""', '"x"', '"\\ud800"', "b'x'", "'x' * 10**6", "'\\x1b[2J'", "'a\\nb'", "' '", "'Σ'"),
    *("[]", "()", "{}", "set()", "frozenset('ab')", "[[]]", "object()", "int", "print", "range(9)"),
    *("(", ")", "[", "]", ",", ":", "=", ".", "*", "**", "@", "->", "\n", "    ", "\t", "#", '"""'),
    *("sys.exit(3)", "exit()", "1 / 0", "raise KeyError", "raise StopIteration", "assert False"),
    *("raise GeneratorExit", "raise SystemExit", "raise BaseException('x')", "raise MemoryError"),
    *(
        "raise RecursionError",
        "raise Exception('\\ud800')",
        "raise type('E', (BaseException,), {})",
    ),
    *(
        "model",
        "task",
        "edits",
        "lexicon('toys')",
        "lexicon('none')",
        "boolean()",
        "integers(0, 1)",
    ),
    *("integers(0, 10**12)", "distinct(integers(0, 5), 9)", "choice([])", "choice([1, 'a', None])"),
    *("words", "asked", "answer", "Hypothesis", "Design", "self", "*words", "**asked", "words=()"),
    *("@staticmethod", "@property", "@model.variable", "@model.require", "@functools.cache"),
    *("Site()", "Site(layers='x')", "Site(head=-1)", "edits.flip('asked')", "edits.keep('words')"),
    *("edits.set('asked', 5)", "edits.resample('words')", "edits.copy('asked')", "edits.set"),
    *("str", "int", "tuple[str, ...]", "'Nowhere'", "list", "Any", "-> None", "-> int", "bool"),
)
COMMANDS = (
    "lint toy",
    "show toy",
    "preview toy -n 2",
    "generate toy -n 4 --out made",
    "tasks",
    "design toy",
    "prove toy whole none",
    "show toy --json",
    "preview toy -n 2 --json",
    "lint toy --json",
)


EXPRESSIONS = (
    *("words[asked]", "asked", "words", "None", "''", "' '", "'x' * 10**6", "10**30", "10**4400"),
    *("float('nan')", "float('inf')", "1.5", "2j", "b'x'", "{1}", "{'a': 1}", "frozenset()"),
    *("'\\ud800'", "'\\x1b[2J'", "'\\u202ea'", "'a\\nb'", "words[5]", "words[asked:]", "[words]"),
    *("len(words)", "int(words[0])", "str(words)", "lambda: 1", "(x for x in words)"),
    *("exit(0)", "__import__('sys').exit('bye')", "words[asked] if asked else None", "model.name"),
    *(
        "[words[asked], 'x']",
        "['a', ['b']]",
        "[]",
        "('a',)",
        "True",
        "range(10**12)",
        "hash(words)",
    ),
    *("''.join(sorted(words))", "words[asked].upper()", "lexicon('toys')", "Odd()", "type(asked)"),
    *("f(10**9)", "Text(words[asked])", "words[asked] + '\\0'", "-asked", "not asked", "asked / 2"),
    *("object()", "[Odd()]", "{'a': Odd()}"),
)
DOMAINS = (
    *(
        "integers(0, 1)",
        "boolean()",
        "choice([0, 1])",
        "choice([0, 1.5])",
        "choice(['a', 0, None])",
    ),
    *("integers(0, 10**12)", "integers(-5, -1)", "integers(10**4400, 10**4400)", "choice([''])"),
    *(
        "choice(['\\ud800', 'b'])",
        "choice(['a', 'a '])",
        "choice([10**4400])",
        "choice([[1], [2]])",
    ),
    *("choice([(1, 2), (3,)])", "choice([{1}])", "choice([Odd()])", "choice(range(10**5))"),
    *(
        "distinct(lexicon('toys'), 6)",
        "distinct(lexicon('toys'), 7)",
        "lexicon('toys')",
        "faker(3)",
    ),
    *("faker(10**7)", "faker(2, locale='x')", "templates('toy')", "templates('no')", "None", "3"),
    *(
        "distinct(distinct(lexicon('toys'), 2), 2)",
        "choice([float('nan')])",
        "choice([True, 1, 0])",
    ),
)
HEADS = (
    *("def answer(words: tuple[str, ...], asked: int) -> str:", "def answer(words, asked):"),
    *("def answer(words, asked) -> int:", "def answer(asked, words):", "def answer(words):"),
    *("def answer():", "def answer(words, asked, x):", "def answer(words, asked=1):"),
    *("def answer(words, /, asked):", "def answer(words, *, asked):", "def answer(*words, asked):"),
    *("async def answer(words, asked):", "def answer(words: 'No', asked) -> 'Where':"),
    *("def answer(words, asked) -> None:", "def answer(words, asked) -> list[str]:"),
    *("def answer(words, asked) -> set:", "def answer(words, asked) -> Odd:", "def words(asked):"),
    *("class answer:", "def ß(words):", "answer = lambda words, asked: words[asked]\ndef g():"),
)
BODIES = (
    *(
        "return {}",
        "return {}",
        "return {}",
        "return {}",
        "return {}",
        "yield {}",
        "pass",
        "return",
    ),
    *("raise KeyError", "raise StopIteration", "raise GeneratorExit", "raise SystemExit({})"),
    *("raise type('E', (BaseException,), {{}})({})", "raise MemoryError", "assert {}", "1 / 0"),
    *("raise RecursionError", "return answer(words, asked)", "await {}", "raise ValueError({})"),
    *("raise Exception('\\ud800')", "import random; return random.random()", "return open('x')"),
    *("raise CfgenError([])", "raise Broken()", "warnings.warn({}); return 'a'", "del words"),
    *("seen.append(1); return len(seen)", "return str(len(seen))"),
)
EDITS = (
    *(
        "edits.flip('asked')",
        "edits.keep('asked')",
        "edits.resample('words')",
        "edits.copy('asked')",
    ),
    *("edits.set('words', {})", "edits.permute('words')", "edits.flip('words')", "edits.flip({})"),
    *("edits.flip('answer')", "{}", "edits", "edits.flip", "edits.set('asked', 0)"),
    "edits.set('asked', {})",
)
ODD = """
import warnings
from cfgen import boolean, choice, faker, templates, CfgenError, Site
seen = []


class Odd:
    def __repr__(self):
        raise ValueError("no text")


class Broken(Exception):
    def __str__(self):
        raise ValueError("no text")


class Text(str):
    pass


def f(n):
    return f(n - 1)


"""


def odd_task(rng: Random) -> str:
    """A task file that Python can run, with something in it that it should not have."""

    def some() -> str:
        return rng.choice(EXPRESSIONS)

    changes = [
        ("    return words[asked]\n", f"    {rng.choice(BODIES).format(some())}\n"),
        ("def answer(words: tuple[str, ...], asked: int) -> str:", rng.choice(HEADS)),
        ("integers(0, 1)", rng.choice(DOMAINS)),
        ('distinct(lexicon("toys"), 2)', rng.choice(DOMAINS)),
        ('edits.flip("asked")', rng.choice(EDITS).format(some())),
        ('"answer"]', f"{some()}]"),
        ('version="1"', f"version={some()}"),
        ('version="1"', f'version="1", candidates={some()}'),
        ('version="1"', f'version="1", accept=lambda words: {some()}'),
        ('version="1"', f'version="1", allow={some()}'),
        ('version="1"', f'version="1", languages={some()}'),
        ('default_design="other"', f"default_design={some()}"),
        ('"toy", output="answer"', f"{some()}, output={some()}"),
        ('interchange=["answer"]', f"interchange={some()}"),
        ('contrast=["whole"]', f"contrast={some()}"),
        ('interchange=["answer"])', f'interchange=["answer"], site=Site({some()}))'),
        ("@model.variable\n", rng.choice(("", "@model.require\n", "@model.variable()\n"))),
    ]
    source = TASK.replace("\nmodel =", f"{ODD}\nmodel =")
    for old, new in rng.sample(changes, rng.choice((1, 1, 1, 2, 3))):
        source = source.replace(old, new)
    return source


def check(ended: Ended) -> None:
    """It ends as every verb does."""
    assert ended.code in (0, 1, 2), ended
    assert "internal-error" not in ended.err, ended.err
    assert not re.search(r'File ".*/cfgen/\w+/', ended.err), ended.err
    if ended.code == 2 and "Usage:" not in ended.err:
        assert ("->" in ended.err, ended.out) == (True, ""), ended
    for text in (ended.out, ended.err):
        text.encode()
        assert all(mark.isprintable() or mark in "\n" for mark in text), text


SOURCES = sorted((builtin_root() / "causal_models").glob("*.py"))


def run_one(cli: Cli, project: Path, rng: Random) -> None:
    """A verb ends as it should, within bounds, and leaves nothing but what it was to make."""
    before = tree(project)
    with limited():
        ended = cli(*rng.choice(COMMANDS).split())
    check(ended)
    made = {name for name in tree(project) if name not in before}
    assert not made or (ended.code == 0 and all(name.startswith("made") for name in made)), made
    shutil.rmtree(project / "made", ignore_errors=True)


@fuzzed(25)
@given(st.integers(0, 2**48))
def test_hostile_task_files(cli: Cli, project: Path, seed: int) -> None:
    rng = Random(seed)
    source = odd_task(rng) if rng.random() < 0.7 else rewritten(TASK, rng, WORDS)
    content = source.encode("utf-8", "surrogatepass")
    (project / "causal_models" / "toy.py").write_bytes(
        damaged(content, rng) if rng.random() < 0.05 else content
    )
    run_one(cli, project, rng)


@fuzzed(6)
@given(st.integers(0, 2**48))
def test_hostile_task_files_of_the_built_in_tasks(cli: Cli, project: Path, seed: int) -> None:
    rng = Random(seed)
    path = rng.choice(SOURCES)
    source = rewritten(path.read_text(encoding="utf-8"), rng, WORDS)
    for folder in ("causal_models", "templates"):
        shutil.rmtree(project / folder, ignore_errors=True)
    shutil.copytree(builtin_root() / "templates" / path.stem, project / "templates" / path.stem)
    put_files(project, {f"causal_models/{path.name}": source})
    before = tree(project)
    verb = rng.choice(("show", "preview", "lint"))
    with limited():
        check(cli(verb, path.stem))
    assert tree(project) == before


LINES = (
    *(
        "ball",
        "ball\tround",
        "",
        " ",
        "\t",
        "# none",
        "#",
        "ball ",
        " bear",
        "ＢＡＬＬ",
        "ba\u200dll",
    ),
    *(
        "e\u0301",
        "é",
        "x" * 10_000,
        "\x00",
        "\x1b[2J",
        "\u202e",
        "\ufeff",
        "yes",
        "1",
        "a\x0bb",
        "a\u2028b",
    ),
    *(
        "kind\tcapital",
        "kind\tkind",
        "first\tlast",
        "a\tb\tc\td",
        "class",
        "__class__\tx",
        "ß",
        "👩‍👩‍👧",
    ),
)


@fuzzed(25)
@given(st.integers(0, 2**48))
def test_hostile_lexicons(cli: Cli, project: Path, seed: int) -> None:
    rng = Random(seed)
    folder = project / "data" / "lexicons"
    for path in folder.iterdir():
        path.unlink()
    lines = ["ball", "bear", "boat", "drum", "kite"]
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES))
    text = rng.choice(("\n", "\n", "\r\n", "\r", "\n\n")).join(lines)
    coding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32-be"))
    content = text.encode(coding, "surrogatepass")
    content = damaged(content, rng) if rng.random() < 0.3 else content
    for kind in rng.choice((["txt"], ["txt"], ["tsv"], ["txt", "tsv"], ["TXT"])):
        (folder / f"toys.{kind}").write_bytes(content)
    run_one(cli, project, rng)


VERBS = (
    *("tasks", "show", "new", "lint", "preview", "predict", "generate", "behave", "run", "runs"),
    *("results", "figure", "compare", "merge", "design", "prove", "schema", "export", "power"),
    *("models", "models pull", "models licence"),
)
FLAGS = (
    *("-n", "--seed", "--design", "--template", "--tokens", "--tokenizer", "--json", "--file"),
    *("--out", "-o", "--to", "--set", "--model", "--layers", "--method", "--decisive-only"),
    *("--target", "--against", "--check", "--cases", "--graph", "--again", "--plan", "--shard"),
    *("--time", "--iia", "--cells", "--split", "--balance", "--kept", "--help", "-h"),
    *("--workers", "--format", "--metric", "--site", "--heads", "--dataset", "--chat", "--x", "-"),
    *("--version", "--strict", "--pairs", "--force", "--accept-license", "--engine", "--device"),
)
VALUES = (
    *("toy", "other", "still", "whole", "none", "all", "plain", "answer", "words", "asked", "made"),
    *(
        "3",
        "12345678901234567890",
        "1/2",
        "20m",
        "0.8",
        "1e400",
        "nan",
        "0x10",
        "٣",
        "--",
        "=",
        "a=1",
        "n=3",
        "n=x",
    ),
    *(
        "causal_models/toy.py",
        "templates",
        "data/lexicons/toys.txt",
        ".",
        "..",
        "/",
        "~",
        "/dev/null",
    ),
    *("/dev/zero", "/proc/self/mem", "pair.json", "folder", "no/such/folder", "/no/where", "runs"),
    *("{}", "[1]", "mermaid", "html", "json", "causalab", "15-29", "0-", "first", "*", "\u00e9"),
)


def arguments(rng: Random) -> list[str]:
    """A command line; most of its parts exist."""
    found = rng.choice(VERBS).split()
    if rng.random() < 0.7:
        found.append("toy")
    for _ in range(rng.randrange(5)):
        found.append(rng.choice(FLAGS if rng.random() < 0.5 else VALUES))
        if rng.random() < 0.1:
            odd = str(rng.choice(NUMBERS[:-7])) if rng.random() < 0.5 else rng.choice(NAMES)
            found.append(odd.replace("\0", "").encode("utf-8", "replace").decode())
    if rng.random() < 0.1:
        rng.shuffle(found)
    return found


@pytest.mark.slow
@fuzzed(60)
@given(st.integers(0, 2**48))
def test_hostile_command_lines(cli: Cli, project: Path, seed: int) -> None:
    rng = Random(seed)
    (project / "pair.json").write_text('{"original": {}}', encoding="utf-8")
    (project / "folder").mkdir(exist_ok=True)
    before, around = tree(project), {path.name for path in project.parent.iterdir()}
    given_ = arguments(rng)
    note(str(given_))
    with limited():
        ended = cli(*given_, stdin="{}")
    check(ended)
    now = tree(project)
    assert {name: now.get(name) for name in before} == before, given_
    assert {path.name for path in project.parent.iterdir()} == around, given_
    assert ended.code == 0 or now.keys() == before.keys(), (given_, now.keys() - before.keys())
    for name in sorted(now.keys() - before.keys(), reverse=True):
        path = project / name
        path.rmdir() if path.is_dir() else path.unlink()
