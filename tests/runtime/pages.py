"""What the tests of the page share: a browser, a fake microphone, a tab that keeps what the browser complains of."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from tests.runtime.page_server import RATE, speak

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
MIC_RATE = 48_000

CONTRAST = """(selectors) => {
    const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(channel);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        return /, 0\\)$/.test(colour) && e.parentElement ? ground(e.parentElement) : colour;
    };
    return Object.fromEntries(selectors.map((s) => {
        const e = document.querySelector(s), [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
        return [s, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    }));
}"""
"""Contrast ratios of text, as WCAG 2 defines them: the text of normal size wants 4.5."""


def microphone(path: Path, parts: list[str | float]) -> Path:
    """A WAV file of texts spoken and seconds of near silence."""
    rng = np.random.default_rng(0)
    pieces = [
        np.zeros(int(MIC_RATE * p))
        if isinstance(p, float)
        else soxr.resample(speak(p, "m3").pcm / 32_768, RATE, MIC_RATE)
        for p in parts
    ]
    pcm = np.concatenate(pieces)
    pcm = np.clip((0.7 * pcm + rng.normal(0, 0.0005, len(pcm))) * 32_767, -32_768, 32_767)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MIC_RATE)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


def launch(playwright: Any, args: list[str]) -> Any:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((p for n in names if (p := shutil.which(n))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    return playwright.chromium.launch(executable_path=path, args=[*ARGS, *args])


class Page:
    """A tab on the page, and what the browser complained about."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        self.tab, self.troubles = self.context.new_page(), []
        self.tab.on("console", lambda m: self.troubles.append(m.text))
        self.tab.on("pageerror", lambda e: self.troubles.append(str(e)))
        self.tab.goto(url)

    def close(self) -> None:
        self.context.close()

    def until(self, condition: str, seconds: float = 20) -> None:
        """Waits in the page; the page's own policy forbids the evaluation that Playwright's waiting needs."""
        look = f"""new Promise((done, fail) => {{
            const end = performance.now() + {seconds * 1000};
            const look = () => {{
                if ({condition}) done();
                else if (performance.now() > end) fail(new Error("in vain"));
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        self.tab.evaluate(look)

    def talk(self) -> None:
        self.tab.click("#talk")

    def phase(self, name: str) -> None:
        self.until(f"document.getElementById('status').dataset.phase === '{name}'")

    def says(self, line: str) -> None:
        self.tab.get_by_role("alert").get_by_text(line).wait_for(timeout=8000)

    def text(self, selector: str) -> str:
        return " ".join(self.tab.locator(selector).all_inner_texts())
