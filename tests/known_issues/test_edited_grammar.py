"""An edited grammar kept the identity of the old one, so a resumed build mixed the two."""

from __future__ import annotations

import shutil
from pathlib import Path

from datagen.identity import digest
from datagen.kinds import parse
from datagen.sources.grammar import GRAMMARS


def test_an_edited_grammar_is_another_source(tmp_path: Path) -> None:
    folders = [tmp_path / name / "mine" for name in ("before", "after")]
    for folder in folders:
        shutil.copytree(GRAMMARS / "es", folder)
    with (folders[1] / "casa.yaml").open("a", encoding="utf-8") as file:
        file.write("\n# a comment is an edit too\n")
    before, after = (digest(parse("sources", {"kind": "grammar", "grammar": str(f)})) for f in folders)
    assert before != after
