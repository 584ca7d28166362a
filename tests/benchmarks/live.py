"""Relay, fast path alone and cascade, live: the same recorded users in real time, turn-taking as recorded.

The slow path's language model is simulated: a sentence, late by the paper's back-ends (420, 513, 1,091 ms to the
first words, table 2) less the 250 ms that the paper's recogniser takes of them; ours is measured. So the latency column
of table 2 can be looked at in shape on any machine.

    python -m tests.benchmarks.live BUNDLE DATA [CONVERSATIONS] [AT_ONCE] [SYSTEM,SYSTEM]

Where the bundle has no verifier, every draft is committed: the rows without a verifier of the paper's table 5.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.result import Result
from trainer.evaluate.latency import BACK_ENDS, BackEnd
from trainer.replay.command import Options, replay, table
from trainer.replay.figures import Figures
from trainer.runtime.events import Mode
from trainer.runtime.relaying import Relay

BUNDLE, DATA = Path("runs/assistant/bundle"), Path("data/assistant")
RECOGNISER_S = 0.25
"""On the paper's L40S (section 4.3)."""
REPLY = "and after that, I can look up the next one for you, which is a little later in the evening, if you like."
"""What the slow path says: its words matter to nobody here."""
SYSTEMS: tuple[tuple[Mode, BackEnd | None], ...] = (
    ("s2s", None),
    *(("relay", back_end) for back_end in BACK_ENDS),
    *(("cascade", back_end) for back_end in BACK_ENDS),
)


def live(folder: Path) -> Iterator[Result]:
    """Of the last training run; nothing where there is none."""
    if not (BUNDLE / "bundle.json").exists():
        print(f"live: no bundle in {BUNDLE}; run make train export first", flush=True)
        return
    yield from compared(str(BUNDLE), str(DATA), folder, conversations=20, at_once=4)


def compared(
    bundle: str, data: str, folder: Path, conversations: int, at_once: int, chosen: str = ""
) -> Iterator[Result]:
    """All systems one after the other, or those named, such as ``relay-GPT-4o``."""
    found: dict[str, Figures] = {}
    for mode, back_end in SYSTEMS:
        name = f"{mode}-{back_end.name}" if back_end else mode
        if chosen and name not in chosen.split(","):
            continue
        options = Options(
            source=data, limit=conversations, mode=mode, turn_taking="recorded", trigger="model", at_once=at_once
        )
        found[name] = replay(lambda _, b=back_end: _opened(bundle, b, at_once), options, folder / name, _quiet)
        print(f"{name}\n" + "\n".join(table(found[name])), flush=True)
    yield from _results(found, at_once)


def _opened(bundle: str, back_end: BackEnd | None, at_once: int) -> Relay:
    first_ms = 1000 * max(0.0, (back_end.seconds if back_end else 0.0) - RECOGNISER_S)
    slow: Any = {"kind": "simulated", "first_ms": first_ms}
    gated = (Path(bundle) / "verifier").is_dir()
    return Relay.from_pretrained(bundle, answering=slow, replies=lambda *_: REPLY, sessions=at_once, gated=gated)


def _quiet(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _results(found: dict[str, Figures], at_once: int) -> Iterator[Result]:
    slowest = BACK_ENDS[-1].name
    relay, alone, cascade = (found.get(name) for name in (f"relay-{slowest}", "s2s", f"cascade-{slowest}"))
    if relay and alone and relay.onset_ms and alone.onset_ms:
        for name in ("p50", "p90"):
            gap = getattr(relay.onset_ms, name) - getattr(alone.onset_ms, name)
            yield Result(f"onset {name.upper()}, relay less fast path alone", "<= 15 ms", f"{gap:.1f} ms", gap <= 15)
    if relay and cascade and relay.onset_ms and cascade.onset_ms:
        ratio = cascade.onset_ms.p50 / relay.onset_ms.p50
        yield Result("onset P50, cascade over relay, GPT-4o's delay", ">= 5x", f"{ratio:.1f}x", ratio >= 5)
    if relay and relay.seamless is not None:
        share = relay.seamless
        yield Result("committed turns without a gap at the seam", ">= 95 %", f"{100 * share:.1f} %", share >= 0.95)
    if relay and relay.stops:
        ticks = relay.stops.p90 / 160
        yield Result("barge-in to silence, P90", "<= 2 ticks", f"{ticks:.2f} ticks", ticks <= 2)
    for name, one in found.items():
        late = one.lateness_ms.p99
        yield Result(f"tick lateness P99, {name}, {at_once} at once", "< 20 ms", f"{late:.1f} ms", late < 20)


if __name__ == "__main__":
    given = sys.argv[1:]
    numbers = [int(value) for value in given[2:4]] + [20, 4][len(given[2:4]) :]
    with tempfile.TemporaryDirectory(prefix="live-") as kept:
        for result in compared(given[0], given[1], Path(kept), numbers[0], numbers[1], *given[4:5]):
            print(f"{'ok' if result.met else 'MISSED':<7}{result.what} (asked {result.asked}): {result.measured}")
