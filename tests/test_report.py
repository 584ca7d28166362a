from __future__ import annotations

import json
import re
import shutil
from base64 import b64decode
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from datagen.codec import decode_flac
from datagen.report import build_report, collect, read_manifest, render, write_report
from datagen.report.data import Statistics
from datagen.report.listen import envelope, exhibits, script_json
from datagen.report.plots import nice_ticks
from datagen.report.tables import Line, Manifest, ceilings, number, rate_lines
from datagen.schema import SCHEMA
from tests import tiny_dataset

COUNT = 24
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset.write(tmp_path_factory.mktemp("tiny"), COUNT, turns=4)


@pytest.fixture(scope="module")
def statistics(dataset: str) -> Statistics:
    return collect(dataset)


@pytest.fixture(scope="module")
def page(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out") / "report.html"
    build_report(dataset, str(path))
    return path


def line(lines: list[Line], name: str) -> Line:
    return next(x for x in lines if x.name == name)


def in_ms(text: str) -> float:
    return float(re.sub(r"[^0-9−]", "", text.split("ms")[0]).replace("−", "-"))


def test_the_same_data_set_gives_the_same_bytes(dataset: str, page: Path, tmp_path: Path):
    again = tmp_path / "again.html"
    build_report(dataset, str(again))
    assert again.read_bytes() == page.read_bytes()
    assert (tmp_path / "statistics.json").read_bytes() == (page.parent / "statistics.json").read_bytes()


def test_statistics_count_every_row_and_survive_json(dataset: str, statistics: Statistics):
    rows = [r for f in sorted(Path(dataset, "data").iterdir()) for r in pq.read_table(f).to_pylist()]
    assert statistics.conversations == COUNT == len(rows)
    assert statistics.hours == pytest.approx(sum(r["duration"] for r in rows) / 3600, abs=1e-6)
    assert statistics.noise.blocks == sum(len(r["noise"]) for r in rows)
    assert sum(statistics.turntaking.events.values()) == sum(len(r["events"]) for r in rows)
    assert statistics.totals["fto_clipped"] == COUNT
    assert statistics.licences == {"Apache-2.0": COUNT, "CC0-1.0": COUNT}
    assert statistics.shares["wer"].quantile(0.5) == 20
    assert Statistics.model_validate_json(statistics.model_dump_json()) == statistics


def test_shown_conversations_cover_every_feature_there_is(statistics: Statistics):
    shown = statistics.exhibits[:12]
    assert len({a.id for a in shown}) == 12
    features = {f for a in statistics.exhibits for f in a.shows}
    assert {"train", "validation", "test", *tiny_dataset.DOMAINS} <= features
    assert {f for a in shown for f in a.shows} == features


def test_shown_audio_is_the_rows_own(dataset: str, statistics: Statistics):
    address = statistics.exhibits[0]
    table = pq.read_table(Path(dataset, "data", address.file), filters=[("id", "=", address.id)])
    exhibit = exhibits(dataset, [address])[0]
    assert b64decode(exhibit.flac["user"]) == table["user_audio"][0]["bytes"].as_py()
    drawn = json.loads(exhibit.drawing)
    peaks = np.frombuffer(b64decode(drawn["envelope"]["assistant"]), np.uint8)
    pcm = decode_flac(b64decode(exhibit.flac["assistant"]))
    assert len(peaks) == -(-len(pcm) // 160)
    assert peaks.max() == np.abs(pcm.astype(int)).max() * 255 // 32_768


def test_the_envelope_holds_the_loudest_sample_even_at_full_scale():
    assert envelope(np.array([-32_768] + [0] * 200, np.int16)) == bytes([255, 0])


def test_fixed_gaps_are_farther_from_people_and_the_page_says_so(tmp_path: Path, statistics: Statistics):
    fixed = collect(tiny_dataset.write(tmp_path, 8, gap_ms=1500.0, turns=4))
    manifest = Manifest.model_validate(tiny_dataset.MANIFEST)
    honest, faked = (rate_lines(s.turntaking, manifest) for s in (statistics, fixed))
    name = "Distance to people [1]"
    assert in_ms(line(faked, name).assistant) > 2 * in_ms(line(honest, name).assistant)
    assert "1\u202f500" in line(faked, "Floor transfer offset").assistant
    onset, events = ceilings(fixed)
    assert onset is not None
    assert onset.recall == 1.0
    assert events["assistant"].precision == pytest.approx(0.4)


def test_voices_heard_in_two_splits_are_reported(tmp_path: Path):
    rows = {"train": [tiny_dataset.row(0, turns=2)], "test": [tiny_dataset.row(1, turns=2, split="test")]}
    rows["test"][0]["voices"]["assistant"]["id"] = rows["train"][0]["voices"]["user"]["id"]
    found = collect(tiny_dataset.write_rows(tmp_path, rows))
    assert found.shared_voices("user") == found.shared_voices("assistant") == ["train-user-0"]
    assert "1 user voices occur in more than one split: train-user-0" in render(found, [], Manifest())


def test_figures_from_the_manifest_are_shown(page: Path):
    text = page.read_text()
    assert "clipped samples above N" in text
    assert "a made-up citation for tests" in text
    assert text.count('aria-label="in = out + rejected"') == 3
    assert "https://" not in text
    assert not re.search(r'(src|href)="(?!#|data:,)', text)


def test_records_that_vanished_are_shown(statistics: Statistics):
    manifest = Manifest.model_validate({"counts": {"plan": {"in": 9, "out": 7, "rejected": 1}}})
    assert "9 ≠ 7 + 1" in render(statistics, [], manifest)


def test_a_data_set_without_manifest_noise_or_events_has_a_report(tmp_path: Path):
    row = tiny_dataset.row(1, turns=1)
    row.update(noise=[], events=[], quality=None)
    folder = tiny_dataset.write_rows(tmp_path, {"train": [row]})
    write_report(folder, f"{tmp_path}/report.html")
    text = (tmp_path / "report.html").read_text()
    assert "No manifest.json" in text
    assert "nan" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)


def test_words_cannot_leave_their_script_element():
    text = script_json({"text": "</script><script>alert(1)</script>\u2028<!--"})
    assert "<" not in text
    assert json.loads(text)["text"].startswith("</script>")


@pytest.mark.parametrize("name", ["id", "segments", "quality"])
def test_a_missing_column_is_named(tmp_path: Path, name: str):
    (tmp_path / "data").mkdir()
    table = SCHEMA.empty_table().drop_columns([name])
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match=f"train-00000-of-00001.parquet: no column {name}"):
        collect(str(tmp_path))


def test_bad_input_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(ValueError, match="no data/train-"):
        collect(str(tmp_path))
    (tmp_path / "manifest.json").write_text('{"counts": {"plan": {"in": 1}}}')
    with pytest.raises(ValueError, match=r"manifest\.json: counts\.plan\.out: Field required"):
        read_manifest(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json: Expecting"):
        read_manifest(str(tmp_path))


def test_a_row_that_moved_is_not_shown_under_another_name(dataset: str, statistics: Statistics):
    moved = statistics.exhibits[0].model_copy(update={"id": "someone-else"})
    with pytest.raises(ValueError, match="not someone-else; collect the statistics again"):
        exhibits(dataset, [moved])


def test_every_button_and_picture_has_a_name(page: Path):
    nameless: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if (tag == "button" or ("role", "img") in attrs) and not dict(attrs).get("aria-label"):
                nameless.append(tag)

    Reader().feed(page.read_text())
    assert not nameless


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "–"), (-1234.56, "−1\u202f234.6"), (0.0, "0.0")])
def test_numbers_are_written_for_reading(value: float, text: str):
    assert number(value) == text


@pytest.mark.parametrize("top", [0.0, 0.3, 1.0, 7.5, 17.0, 99.9, 100.0])
def test_ticks_reach_the_top_with_few_steps(top: float):
    ticks = nice_ticks(top)
    assert ticks[0] == 0
    assert ticks[-1] >= top
    assert 2 <= len(ticks) <= 5


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((p for n in names if (p := shutil.which(n))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def browser_page(browser: Any, page: Path) -> tuple[Any, list[str]]:
    """The report in a browser, and what it complained about or asked the network for."""
    tab, troubles = browser.new_page(), []
    tab.on("console", lambda m: troubles.append(m.text))
    tab.on("pageerror", lambda e: troubles.append(str(e)))
    tab.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else troubles.append(r.url))
    tab.goto(page.as_uri())
    return tab, troubles


def until(tab: Any, condition: str) -> None:
    """Waits in the page; the page's own policy forbids the evaluation that Playwright's waiting needs."""
    tab.evaluate(
        f"new Promise(done => {{ const look = () => {condition} ? done() : requestAnimationFrame(look); look(); }})"
    )


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_plays_seeks_and_mutes(browser_page: tuple[Any, list[str]]):
    tab, troubles = browser_page
    assert tab.locator(".player").count() == 12
    player = tab.locator(".player").first
    player.locator(".play").click()
    until(tab, "duplexReport.players[0].position > 0.3")
    assert player.locator(".play").get_attribute("aria-label") == "Pause"
    assert tab.evaluate("new DOMMatrix(getComputedStyle(document.querySelector('.space .cursor')).transform).e") > 20
    gains = "Object.entries(duplexReport.players[0].gains).map(([k, v]) => [k, v.gain.value])"
    assert dict(tab.evaluate(gains)) == {"user": 1, "assistant": 1}
    player.locator(".mute[data-speaker=user]").click()
    assert dict(tab.evaluate(gains)) == {"user": 0, "assistant": 1}
    player.locator(".mute[data-speaker=user]").click()
    player.locator(".solo[data-speaker=user]").click()
    assert dict(tab.evaluate(gains)) == {"user": 1, "assistant": 0}
    tab.locator(".play").nth(1).click()
    until(tab, "duplexReport.players[1].position > 0.1")
    assert player.locator(".play").get_attribute("aria-label") == "Play", "one conversation plays at a time"
    player.focus()
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("duplexReport.players[0].position") == 2
    tab.keyboard.press("Space")
    until(tab, "duplexReport.players[0].position > 2.1")
    player.locator(".map").click(position={"x": 400, "y": 10})
    assert tab.evaluate("duplexReport.players[0].position") > 3
    assert not troubles


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_fits_narrow_screens(browser_page: tuple[Any, list[str]]):
    tab, troubles = browser_page
    for width in (380, 700):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert not troubles
