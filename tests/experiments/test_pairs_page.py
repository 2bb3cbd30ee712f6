"""docs/pairs.md: what it makes of the forms of others can be asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfgen.experiments import look_up, read_experiment
from tests.pages import blocks_of, exec_here, run_here, write_files

PAGE = Path(__file__).parents[2] / "docs" / "pairs.md"
FILES = [block.label for block in blocks_of(PAGE) if block.label.endswith(".yaml")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pairs")
    write_files(PAGE, made)
    for block in blocks_of(PAGE):
        if block.language == "python":
            exec_here(made, block.text)
    return made


@pytest.mark.parametrize("name", FILES)
def test_every_recipe_gives_pairs_with_the_positions_that_are_asked_for(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    inquiry = look_up(read_experiment(Path(name)))
    for pair in inquiry.source.pairs:
        for side in (pair.original, pair.counterfactual):
            named = {span.name for span in side.prompt.spans}
            for site in inquiry.sites.values():
                assert {position.partition("[")[0] for position in site.positions} <= named
        assert pair.original.prompt.text != pair.counterfactual.prompt.text


def test_what_the_recipes_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    first = {name: look_up(read_experiment(Path(name))).source.pairs[0] for name in FILES}
    mib = first["mib.yaml"]
    assert (mib.original.answer, mib.counterfactual.answer) == ("Nora", "Paul")
    gym = first["causalgym.yaml"]
    assert (gym.original.prompt.text, gym.original.answer) == ("The pilot near the boats", "is")
    assert [gym.original.prompt.text[s.start : s.end] for s in gym.original.prompt.spans] == [
        "The", "pilot", "near", "the", "boats",
    ]  # fmt: skip
    ravel = look_up(read_experiment(Path("ravel.yaml"))).source.pairs
    assert [pair.kinds["holds_country"] for pair in ravel[:2]] == ["counterfactual", "original"]
    bias = first["winobias.yaml"]
    assert bias.original.prompt.text == "The carpenter thanked the nurse because"
    assert bias.counterfactual.prompt.text == "The man thanked the nurse because"
    assert (bias.original.answer, bias.counterfactual.answer) == ("she", "he")


@pytest.mark.slow
def test_the_first_file_is_run_on_a_real_lm(folder: Path) -> None:
    (command,) = (block.text for block in blocks_of(PAGE) if block.language == "sh")
    shown = run_here(folder, command.strip() + " --layers 20-29")
    assert "all: best at layers" in shown
    assert "(n = 3 pairs)" in shown
