"""One command evaluates a run: its page says what its figures say, and nothing was chosen on test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.tiny import Tiny, built
from tests.trainer.published import rows_of
from tests.trainer.runs import Dice, copied, steady, with_fast_path, with_verifier
from trainer.cli import app
from trainer.evaluate import report_files
from trainer.evaluate.command import options_of, run_all
from trainer.evaluate.evaluation import Evaluation, Options
from trainer.evaluate.grading import Answer
from trainer.evaluate.report import evaluate
from trainer.evaluate.report_files import FIGURES, PAGE, write
from trainer.evaluate.report_page import markdown
from trainer.model.verifier import WEIGHTS

__all__ = ["built"]


@pytest.fixture(scope="module")
def run(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a verifier."""
    return with_verifier(with_fast_path(tmp_path_factory.mktemp("run"), built))


@pytest.fixture(scope="module")
def bare(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without one."""
    folder = tmp_path_factory.mktemp("bare")
    shutil.copytree(run / "fastpath", folder / "fastpath")
    return folder


@pytest.fixture(scope="module")
def data(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset with a test split of several conversations."""
    return copied(built, tmp_path_factory.mktemp("data"), train=None, test=rows_of(built.out))


def options(data: Path, **changes: object) -> Options:
    return Options.model_validate({"data": str(data), "floors": 1, "timed": 2, **changes})


@pytest.fixture(scope="module")
def small(bare: Path, data: Path) -> Evaluation:
    """Everything there is without a verifier, of one conversation of each split."""
    return evaluate(bare, options(data, limit=1, floors=0), Dice())


@pytest.fixture(scope="module")
def found(run: Path, data: Path) -> Evaluation:
    """Everything, the dataset standing for the paper's profile too."""
    return evaluate(run, options(data, paper=str(data), limit=2), Dice())


@pytest.fixture(scope="module")
def written(found: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its page, figures and plots."""
    return write(found, tmp_path_factory.mktemp("written")).parent


def test_figures_page_and_plots_agree(found: Evaluation, written: Path) -> None:
    page = (written / PAGE).read_text()
    again = Evaluation.model_validate_json((written / FIGURES).read_text())
    assert again == found
    assert markdown(again) == page
    assert found.turn_taking is not None
    assert found.paper_turn_taking is not None
    for line in (*found.turn_taking.free.lines, *found.paper_turn_taking.free.lines):
        assert line.f1 is None or line.f1.percent() in page
        assert line.ceiling is None or line.ceiling.percent() in page
    assert found.verifier is not None
    assert found.verifier.auroc.plain() in page
    pictures = set(re.findall(r"\]\((\w+\.png)\)", page))
    assert pictures == {p.name for p in written.glob("*.png")}
    assert pictures == {"thresholds.png", "floors.png", "onset.png", "verifier.png", "verifier_pr.png"}
    assert {p.name for p in written.iterdir()} == {FIGURES, PAGE, *pictures}


def test_the_page_says_how_it_was_measured(found: Evaluation) -> None:
    page = markdown(found)
    assert "An event counts within +-1 tick (160 ms)" in page
    assert f"on {found.validation and found.validation.conversations} validation conversations" in page
    assert "**The slow path's text is the recorded reply at every back-end**" in page
    assert "**simulated** by a constant (Qwen2.5-0.5B 420 ms, Qwen2.5-7B 513 ms, GPT-4o 1091 ms" in page
    assert Dice.scale.meaning in page
    assert [page.index(f"## Table {number}") for number in (2, 3, 4, 5)] == sorted(
        page.index(f"## Table {number}") for number in (2, 3, 4, 5)
    )


@pytest.mark.slow
def test_the_same_run_gives_the_same_figures(small: Evaluation, bare: Path, data: Path) -> None:
    again = evaluate(bare, options(data, limit=1, floors=0), Dice())
    assert steady(again) == steady(small)
    assert again.systems is not None
    assert again.systems.times, "latencies are the only thing that may differ"


def test_the_same_split_scores_the_same_as_another_dataset(found: Evaluation) -> None:
    assert found.paper_turn_taking == found.turn_taking


def test_thresholds_do_not_know_the_test_split(small: Evaluation, bare: Path, built: Tiny, tmp_path: Path) -> None:
    """Test conversations that end elsewhere: other labels, other figures, the same operating point."""
    other = [row | {"segments": row["segments"][:-1], "events": []} for row in rows_of(built.out)]
    asked = options(copied(built, tmp_path, test=other), tables=(3,), limit=1, floors=0)
    changed = evaluate(bare, asked, Dice())
    assert small.turn_taking is not None
    assert changed.turn_taking is not None
    assert changed.turn_taking.points == small.turn_taking.points
    assert changed.turn_taking.forced != small.turn_taking.forced


def test_without_a_verifier_the_page_says_so(bare: Path, data: Path) -> None:
    found = evaluate(bare, options(data, tables=(2, 4, 5), limit=1), Dice())
    page = markdown(found)
    assert (found.verifier, found.card) == (None, None)
    assert page.count("train one with `python -m trainer kfold`") == 3, "tables 2, 4 and 5"
    assert found.systems is not None
    assert {s.name for s in found.systems.systems} == {"S2S only", "Cascaded"}
    assert found.lengths is not None
    assert [row.gated for row in found.lengths.rows] == [False] * 3
    assert "## Table 3: turn-taking\n\nNot asked for" in page


def test_a_verifier_that_cannot_be_measured_says_why(run: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "fastpath", tmp_path / "fastpath")
    shutil.copytree(run / "kfold/verifier", tmp_path / "kfold/verifier")
    found = evaluate(tmp_path, options(data, tables=(4,)), Dice())
    assert "no labelled prefixes" in found.absent["4"]
    assert "no labelled prefixes" in markdown(found)


def test_a_judge_that_cannot_tell_gives_no_figures(bare: Path, data: Path) -> None:
    class Shy(Dice):
        def quality(self, asked: Sequence[Answer]) -> list[float | None]:
            return [None] * len(asked)

    found = evaluate(bare, options(data, tables=(2, 5), limit=1), Shy())
    assert found.systems is not None
    qualities = [s.quality for s in found.systems.systems if s.quality]
    assert {(q.judged, q.average, q.low) for q in qualities} == {(0, None, None)}
    assert {q.unjudged for q in qualities} == {found.systems.turns}
    assert f"| 0 ({found.systems.turns} not) |" in markdown(found)


def test_the_relay_lies_between_its_parts(found: Evaluation) -> None:
    """Where it falls back it is the cascade, where it commits it is the prefix."""
    assert found.systems is not None
    assert found.lengths is not None
    assert found.systems.fallback is not None
    assert found.systems.timed == 2 < found.systems.turns
    for one in found.systems.systems:
        if one.onset is not None and one.name == "Cascaded":
            (seconds,) = (b.seconds for b in found.systems.back_ends if b.name == one.back_end)
            assert one.onset.p50.value == one.onset.p90.value == pytest.approx(1000 * seconds)
    rows = {(row.words, row.gated): row for row in found.lengths.rows}
    assert set(rows) == {(words, gated) for words in (3, 5, 7) for gated in (False, True)}
    assert rows[5, True].fallback == found.systems.fallback
    for words in (3, 5, 7):
        assert rows[words, True].fallback.value >= rows[words, False].fallback.value


def test_a_limit_takes_some_of_each_split(small: Evaluation, built: Tiny) -> None:
    assert small.validation is not None
    assert small.turn_taking is not None
    assert (small.validation.conversations, small.test.conversations) == (1, 1)
    assert small.test.of == len(rows_of(built.out))
    assert small.turn_taking.free.conversations == 1


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_dataset_without_a_split_is_one_clear_line(run: Path, built: Tiny, tmp_path: Path, split: str) -> None:
    other = copied(built, tmp_path / "data", **{split: None})
    done = CliRunner().invoke(app, ["evaluate", str(run), "--data", str(other), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ValueError)
    assert f"needs the {split} split" in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out" / FIGURES).exists()


def test_a_verifier_of_another_fast_path_is_refused(run: Path, data: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    card = other / "kfold/verifier/config.json"
    card.write_text(card.read_text().replace('"hidden_size": 16', '"hidden_size": 8'))
    with pytest.raises(ValueError, match="fit a verifier"):
        evaluate(other, options(data), Dice())
    assert (other / "kfold/verifier" / WEIGHTS).exists()


@pytest.mark.slow
def test_the_command_writes_everything(run: Path, data: Path, tmp_path: Path) -> None:
    words = [
        "evaluate",
        str(run),
        "--data",
        str(data),
        "--out",
        str(tmp_path / "out"),
        "--tables",
        "2,4",
        "--limit",
        "1",
    ]
    done = CliRunner().invoke(
        app, [*words, "--timed", "1", "--threads", str(torch.get_num_threads()), "--back-end", "mine=0.25"]
    )
    assert done.exception is None
    assert (tmp_path / "out" / PAGE).read_text().count("mine (simulated)") == 4, (
        "cascade and relay, in the table and at a glance"
    )
    assert "[1/" in done.stderr
    assert "left" in done.stderr


def test_what_cannot_be_written_leaves_the_old_evaluation(
    found: Evaluation, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in written.iterdir()}

    def full(*_: object) -> list[str]:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(report_files, "draw", full)
        with pytest.raises(OSError, match="no space"):
            write(found, written)
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_bad_words_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tables: '2,9'; give some of 2, 3, 4, 5"):
        options_of("data", "2,9", ())
    with pytest.raises(ValueError, match="NAME=SECONDS"):
        options_of("data", "2", ["GPT-4o"])
    with pytest.raises(ValueError, match="NAME=SECONDS"):
        options_of("data", "2", ["GPT-4o=-1"])
    with pytest.raises(ValueError, match=r"^paper: another dataset is for table 3"):
        options_of("data", "2", (), paper="other")
    with pytest.raises(ValueError, match="holds no fast path"):
        run_all(tmp_path, options_of("data", "2", ()), "grammar", tmp_path / "out")
    assert np.isclose(options_of("data", "5, 2", ["a=0.5"]).back_ends[0].seconds, 0.5)
