"""Whole builds on the production backends: the real clients of Gemini and of a CosyVoice server, against local ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen.build import BuildError
from datagen.recipe import RecipeError
from tests.building import no_pictures
from tests.commanding import Command, datagen, refused
from tests.production import OUTLINES, SCENES, World, world
from tests.tiny import build_here, contents, rows

__all__ = ["datagen", "no_pictures"]
pytestmark = pytest.mark.slow
KEY = "AIza-the-secret-that-must-not-be-seen"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Servers, corpora, voices."""
    with world(tmp_path_factory.mktemp("world"), KEY) as found:
        yield found


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)


@pytest.fixture(scope="module")
def made(servers: World) -> tuple[Path, dict[str, Any]]:
    """A finished build and its manifest."""
    out = servers.home / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEMINI_API_KEY", KEY)
        return out, build_here(servers.write(), out)


def test_texts_voices_noise_and_backchannels_come_from_the_backends(made: tuple[Path, dict[str, Any]]) -> None:
    out, manifest = made
    found = rows(out)
    assert len(found) == 8
    assert manifest["counts"]["write"] == {"in": 8, "out": 8, "rejected": 0}
    written = [row for row in found if row["id"].startswith("outline-")]
    assert len(written) == OUTLINES
    assert all("plan a walk" in row["segments"][0]["text_full"] for row in written)
    tokens = {s["text"] for row in found for s in row["segments"] if s["kind"] == "backchannel"}
    assert tokens == {"go on"}
    assert {block["scene"] for row in found for block in row["noise"]} <= set(SCENES)
    assert {row["voices"][side]["origin"] for row in found for side in ("user", "assistant")} == {"espeak-ng"}
    assert any(event["type"] == "pause" for row in found for event in row["events"])


def test_licences_of_outline_model_voice_and_noise_are_rolled_up(made: tuple[Path, dict[str, Any]]) -> None:
    out, manifest = made
    written = next(row for row in rows(out) if row["id"].startswith("outline-"))
    wanted = {"CDLA-Sharing-1.0", "LicenseRef-written", "CC0-1.0", "LicenseRef-TAU-non-commercial"}
    assert set(written["licences"]) == wanted
    assert set(manifest["licences"]) >= wanted


def test_the_manifest_says_what_was_paid(made: tuple[Path, dict[str, Any]], servers: World) -> None:
    _, manifest = made
    usage = {name.split()[0]: figures for name, figures in manifest["usage"].items()}
    assert {name: figures["answers"] for name, figures in usage.items()} == {"write": OUTLINES, "annotate": 8}
    assert usage["write"]["usd"] == pytest.approx(OUTLINES * (100 * 1.0 + 15 * 2.0) / 1e6, abs=1e-4)


def test_the_key_is_in_no_file_and_no_output(
    made: tuple[Path, dict[str, Any]], servers: World, datagen: Command
) -> None:
    out, _ = made
    for command in (
        ["check", servers.recipe],
        ["explain", servers.recipe],
        ["status", out],
        ["estimate", servers.recipe],
    ):
        said = datagen(*command)
        assert KEY not in said.out + said.err
    holding = [path for path in servers.home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert holding == []


def test_a_run_that_starts_again_pays_for_nothing(made: tuple[Path, dict[str, Any]], servers: World) -> None:
    out, _ = made
    before, asked = contents(out), len(servers.gemini.asked)
    for stage in (out / ".work").glob("[wa][rn][in]*-*"):  # write and annotate are run again, with what was answered
        for path in stage.iterdir():
            path.unlink()
    (out / "manifest.json").unlink()
    build_here(servers.write(), out)
    assert len(servers.gemini.asked) == asked
    assert contents(out) == before


def test_a_budget_stops_the_run_and_a_higher_one_goes_on(servers: World, tmp_path: Path) -> None:
    low = servers.write(budget={"usd": 0.004, "prices": "prices.yaml"})
    asked = len(servers.gemini.asked)
    with pytest.raises(
        BuildError,
        match=r"budget: .* is spent and the next answer could exceed it; raise budget.usd.*what is done is kept",
    ):
        build_here(low, tmp_path / "out")
    paid = len(servers.gemini.asked) - asked
    manifest = build_here(servers.write(), tmp_path / "out")
    assert sum(figures["answers"] for figures in manifest["usage"].values()) == OUTLINES + 8
    assert len(servers.gemini.asked) - asked == OUTLINES + 8
    assert paid < OUTLINES + 8


def test_a_forbidden_licence_stops_the_run_before_it_starts(servers: World, tmp_path: Path, datagen: Command) -> None:
    recipe = servers.write(forbid_licences=["*non-commercial*"])
    line = refused(datagen("build", recipe, "--out", tmp_path / "out"))
    assert "noise clip audio/airport-lisbon" in line
    assert "has the licence 'LicenseRef-TAU-non-commercial', which '*non-commercial*' forbids" in line
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecipeError, match="writing has the licence"):
        build_here(servers.write(forbid_licences=["LicenseRef-wr*"]), tmp_path / "out")
    with pytest.raises(RecipeError, match=r"source\.mixture has the licence 'CDLA"):
        build_here(servers.write(forbid_licences=["CDLA*"]), tmp_path / "out")


def test_outlines_without_a_writer_are_rejected_with_the_remedy(servers: World, tmp_path: Path) -> None:
    recipe = servers.write(writer=None, annotator={"kind": "rules"})
    manifest = build_here(recipe, tmp_path / "out")
    assert manifest["counts"]["annotate"] == {"in": 8, "out": 3, "rejected": OUTLINES}
    reasons = manifest["rejected_reasons"]["annotate"]
    assert list(reasons) == ["it is an outline, not to be spoken as it is; give the recipe a writer"]
