from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.experiments import schema

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_it_prints_the_schema(cli: Cli) -> None:
    shown = cli("schema")
    assert (shown.code, shown.err) == (0, "")
    assert shown.json == schema() == cli("schema", "--json").json
