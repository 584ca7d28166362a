"""The page's sound: the playback worklet, sample rates and the wire's bytes, run in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.runtime.page_server import serving
from tests.runtime.pages import Page, launch

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WORKLET = """async () => {
    globalThis.sampleRate = 48000; globalThis.currentTime = 0;
    globalThis.AudioWorkletProcessor = class {
        constructor() { this.port = { told: [], postMessage: (m) => this.port.told.push(m) }; }
    };
    let Processor; globalThis.registerProcessor = (_, made) => { Processor = made; };
    await import(`/playback.js?${performance.now()}`);
    const player = new Processor(), take = (data) => player.port.onmessage({ data });
    const block = () => {
        const out = new Float32Array(128);
        player.process([], [[out]]);
        return [...out];
    };
    const run = (blocks) => Array.from({ length: blocks }, block).flat();
    const told = (what) => player.port.told.filter((m) => m.what === what);
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with serving(()) as server, sync_api.sync_playwright() as playwright:
        browser = launch(playwright, [])
        yield Page(browser, server.url)
        browser.close()


def test_playback_starts_at_once_and_stops_within_20_ms(page: Page):
    result = page.tab.evaluate(
        WORKLET
        + """
        take({ say: "a", kind: "response", samples: new Float32Array(4800).fill(0.5) });
        const first = run(2);
        take({ say: "b", kind: "backchannel", samples: new Float32Array(48000).fill(0.25) });
        const mixed = run(1);
        take({ stop: "response", token: 7 });
        const after = run(8);
        take({ say: "a", kind: "response", samples: new Float32Array(4800).fill(0.5) });
        return { first: first[0], mixed: mixed[100], after, later: run(8), halted: told("halted")[0] }; }"""
    )
    assert result["first"] == 0.5
    assert result["mixed"] == 0.75
    assert result["halted"] == {"what": "halted", "token": 7, "items": [{"id": "a", "kind": "response", "played": 384}]}
    assert np.abs(np.array(result["after"][480:]) - 0.25).max() < 1e-3, "silent 10 ms later; the backchannel goes on"
    assert np.abs(np.diff(result["after"])).max() < 0.05, "no click"
    assert max(result["later"]) == pytest.approx(0.25, abs=1e-4), "what comes too late is not played"


def test_playback_counts_samples_and_holes(page: Page):
    result = page.tab.evaluate(
        WORKLET
        + """
        take({ say: "a", kind: "response", samples: new Float32Array(1000).fill(0.5) });
        run(10);
        take({ say: "a", kind: "response", samples: new Float32Array(1000).fill(0.5) });
        const waiting = run(5);
        take({ say: "a", kind: "response", samples: new Float32Array(3000).fill(0.5) });
        run(2); take({ last: "a" }); run(60);
        return { waiting, under: told("underrun"), ended: told("ended"), begun: told("began").length }; }"""
    )
    assert max(result["waiting"]) < 1e-3, "after a hole sound waits for 60 ms"
    assert [m["frames"] for m in result["under"]] == [15 * 128 - 1000]
    assert [m["played"] for m in result["ended"]] == [5000]
    assert result["begun"] == 1


@pytest.mark.parametrize(("rate", "to"), [(48_000, 24_000), (44_100, 24_000), (24_000, 48_000), (16_000, 24_000)])
def test_resampling_is_the_same_in_any_pieces_and_keeps_the_voice(page: Page, rate: int, to: int):
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate // 4) / rate)).astype(np.float32)
    high = (0.5 * np.sin(2 * np.pi * 0.46 * rate * np.arange(rate // 4) / rate)).astype(np.float32)
    result = page.tab.evaluate(
        """async ({ rate, to, tone, high }) => {
        const { Resampler } = await import("/resample.js");
        const run = (x, cuts) => { const r = new Resampler(rate, to); let at = 0; const out = [];
            for (const n of cuts) { out.push(...r.push(Float32Array.from(x.slice(at, at + n)))); at += n; }
            return [...out, ...r.flush()]; };
        const pieces = Array.from({ length: tone.length }, (_, i) => 1 + i % 700);
        return { whole: run(tone, [tone.length]), pieces: run(tone, pieces), high: run(high, [high.length]) }; }""",
        {"rate": rate, "to": to, "tone": tone.tolist(), "high": high.tolist()},
    )
    whole = np.array(result["whole"])
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(whole)) / to)
    assert abs(len(whole) - len(tone) * to / rate) <= 1
    assert np.array_equal(whole, result["pieces"])
    assert np.abs(whole - expected)[200:-200].max() < 5e-3
    if to < rate:
        assert np.abs(np.array(result["high"])[200:-200]).max() < 5e-3, "nothing folds back"


def test_pcm_survives_the_wire_and_is_clipped(page: Page):
    result = page.tab.evaluate("""async () => {
        const { encode, decode } = await import("/resample.js");
        const x = Float32Array.from([0, 0.5, -0.5, 1.5, -1.5, 1 / 32768]);
        return { back: [...decode(encode(x))], odd: decode(btoa("abc")).length }; }""")
    assert result["back"] == pytest.approx([0, 0.5, -0.5, 32767 / 32768, -1, 1 / 32768])
    assert result["odd"] == 1
