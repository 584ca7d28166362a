"""What the studio refuses never becomes an utterance: a turn takes its conversation along, a cue only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from datagen.core.acceptance import Acceptance
from datagen.core.records import VoicedScript
from datagen.core.types import Annotated, Blob, Cue, Voice
from datagen.kinds import NotYet, Speech
from datagen.phenomena import backchannel
from datagen.stages import plan, synthesize
from datagen.stages.inputs import Inputs
from datagen.stages.studio import Studio
from tests.stages.speaking import Buzzer, studio
from tests.strategies import annotated, chatter, plan_config

RULES = Acceptance(attempts=2, prompts=1)
Fault = Callable[[str, Voice, int], str]


def record() -> Annotated:
    """A dialogue with backchannels."""
    often = backchannel.Config(kind="backchannel", assistant_per_minute=30, user_per_minute=30)
    script = annotated(chatter(5, turns=4, words=(12, 25)), (often,))
    assert sum(bool(cue.text) for cue in script.cues) >= 3
    return Annotated(script=script.model_copy(update={"places": ()}), split="train")


def spoken(monkeypatch: pytest.MonkeyPatch, folder: Path, engine: Buzzer) -> tuple[VoicedScript, bytes]:
    """The record in the studio, and its pack."""
    made = studio(engine, folder, acceptance=RULES)
    monkeypatch.setattr(Studio, "of", lambda config, inputs: made)
    pack = bytearray()

    def put(content: bytes) -> Blob:
        pack.extend(content)
        return Blob(offset=len(pack) - len(content), nbytes=len(content))

    return synthesize.process(record(), made.config, Inputs("", {}, 0), put), bytes(pack)


def test_a_cue_that_cannot_be_said_is_dropped_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cues = [cue for cue in record().script.cues if cue.text]
    bad = cues[1].text
    result, _ = spoken(monkeypatch, tmp_path, Buzzer(lambda text, of, seed: "silent" if text == bad else ""))
    lost = [cue for cue in cues if cue.text == bad]
    assert [d.cue for d in result.unspoken] == lost
    assert all("silent" in d.reason for d in result.unspoken)
    assert sum(u.cue is not None for u in result.utterances) == len(cues) - len(lost)
    assert VoicedScript.model_validate_json(result.model_dump_json(exclude_defaults=True)) == result


def test_what_was_dropped_is_planned_as_dropped_and_never_heard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bad = next(cue.text for cue in record().script.cues if cue.text)
    result, _ = spoken(monkeypatch, tmp_path, Buzzer(lambda text, of, seed: "silent" if text == bad else ""))
    config = plan_config((backchannel.Config(kind="backchannel"),))
    timeline = plan.plan(result, config, ()).timeline
    assert set(_keys(d.cue for d in result.unspoken)) <= set(_keys(d.cue for d in timeline.dropped))
    assert all(s.text != bad for s in timeline.segments if s.kind == "backchannel")


def _keys(cues: Iterable[Cue]) -> list[str]:
    return [cue.model_dump_json() for cue in cues]


def test_a_turn_that_cannot_be_said_refuses_the_conversation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = record().script.dialogue.turns[2].text
    with pytest.raises(ValueError, match=r"^turn 2: silent.*; 2 attempts$"):
        spoken(monkeypatch, tmp_path, Buzzer(lambda text, of, seed: "silent" if text == bad else ""))


def test_side_by_side_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone = spoken(monkeypatch, tmp_path, Buzzer())
    together = spoken(monkeypatch, tmp_path, Buzzer(parallel=4))
    assert alone == together


class Elsewhere(Buzzer):
    """Asks for every clip."""

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        raise NotYet([{"key": f"{seed}", "text": text}])


def test_all_missing_clips_are_asked_for_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(NotYet, match="clips are still to be made") as missing:
        spoken(monkeypatch, tmp_path, Elsewhere(parallel=2))
    script = record().script
    texts = [t.text for t in script.dialogue.turns] + [c.text for c in script.cues if c.text]
    assert [request["text"] for request in missing.value.requests] == texts


def test_the_pack_holds_what_the_utterances_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, pack = spoken(monkeypatch, tmp_path, Buzzer())
    assert len(pack) == 2 * sum(u.num_samples for u in result.utterances)
    for u in result.utterances:
        assert u.pcm is not None
        samples = np.frombuffer(pack[u.pcm.offset : u.pcm.offset + u.pcm.nbytes], "<i2")
        assert (samples.size, u.attempts) == (u.num_samples, 1)
        assert u.peak == pytest.approx(float(np.abs(samples.astype(float)).max()) / 32_768)
