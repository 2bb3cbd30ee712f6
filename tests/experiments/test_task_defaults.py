"""What a task says of experiments that say nothing themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfgen.errors import CfgenError
from cfgen.experiments import experiment_of, look_up
from cfgen.lint import lint_task
from cfgen.tasks import load_task
from tests.cli.conftest import TASK, TEMPLATE
from tests.projects import put_files

SAID = '{"keys": ["word_1"], "corrupt": "word_2", "reuse_prompts": True}'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    text = TASK.replace('version="1"', f'version="1", defaults={SAID}')
    files = {
        "causal_models/toy.py": text,
        "templates/toy/plain.jinja": TEMPLATE,
        "data/lexicons/toys.txt": "ball\nbear\nboat\ndrum\nkite\nlamp\n",
    }
    put_files(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(**fields):
    return look_up(experiment_of("toy", {"splits": "0/0/100", "n": 4, **fields})).experiment


@pytest.mark.usefixtures("project")
def test_what_is_not_said_is_as_the_task_says() -> None:
    assert asked(method="knockout").keys == ("word_1",)
    assert asked(method="tracing").corrupt == "word_2"
    assert asked(method="tracing").keys == ()  # which have no meaning for it


@pytest.mark.usefixtures("project")
def test_what_is_said_counts() -> None:
    assert asked(method="knockout", keys=["word_2"]).keys == ("word_2",)
    assert asked(method="tracing", corrupt="word_1").corrupt == "word_1"


def test_few_prompts_are_in_several_pairs(project: Path) -> None:
    assert len(load_task("toy").sample(4, split="train")) == 4
    file = project / "causal_models/toy.py"
    file.write_text(file.read_text().replace("True", "False"))
    with pytest.raises(CfgenError, match="--reuse-prompts"):
        load_task("toy").sample(4, split="train")


@pytest.mark.usefixtures("project")
def test_that_prompts_are_few_is_part_of_what_was_asked() -> None:
    assert asked(method="mediation").reuse_prompts
    assert not asked(method="mediation", reuse_prompts=False).reuse_prompts


def test_lint_knows_a_position_that_no_prompt_has(project: Path) -> None:
    file = project / "causal_models/toy.py"
    file.write_text(file.read_text().replace('"corrupt": "word_2"', '"corrupt": "word_3"'))
    report = lint_task("toy")
    found = [finding for finding in report.findings if finding.code == "span-missing"]
    assert found
    assert all("defaults" in one.message and "word_3" in one.message for one in found)


def test_what_nobody_says_is_asked_for() -> None:
    for method, name in (("knockout", "keys"), ("tracing", "corrupt")):
        with pytest.raises(CfgenError, match=f"`{name}` has to be given"):
            look_up(experiment_of("ioi", {"method": method}))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('{"key": ["word_1"]}', "defaults['key']"),
        ('{"keys": "word_1"}', "defaults['keys']"),
        ('{"keys": ["word_1["]}', "defaults: "),
        ('{"keys": [3]}', "defaults['keys']"),
        ('{"corrupt": None}', "defaults['corrupt']"),
        ('{"reuse_prompts": 1}', "defaults['reuse_prompts']"),
        ("[]", "defaults: expected"),
    ],
)
def test_what_a_task_cannot_say_is_refused(project: Path, wrong: str, said: str) -> None:
    file = project / "causal_models/toy.py"
    file.write_text(file.read_text().replace(SAID, wrong))
    with pytest.raises(CfgenError) as caught:
        load_task("toy")
    assert any(said in p.message and p.where and p.hint for p in caught.value.problems)
