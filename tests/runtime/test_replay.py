"""Replays: sound files and datasets in, logs, sound and figures out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.runtime.relays import relay, silence, speech
from tests.tiny import Tiny, built
from tests.trainer import published
from trainer.replay.command import Options, replay, table
from trainer.replay.figures import Spread
from trainer.replay.sources import talks
from trainer.runtime.relaying import Relay


@pytest.fixture(scope="module")
def dataset(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(published.write(tmp_path_factory.mktemp("replayed"), published.every_row(built)[:4]))


__all__ = ["built"]


def opened(jumping: bool) -> Relay:
    return relay(inline=jumping)


def run(source: str, out: Path | None = None, **options: Any) -> Any:
    given = {"speed": "fast", "split": "train", "limit": 2, **options}
    return replay(opened, Options(source=source, **given), out, lambda _: None)


def test_a_dataset_is_replayed_with_its_own_turn_taking(dataset: str, tmp_path: Path) -> None:
    found = run(dataset, tmp_path / "out", turn_taking="recorded")
    assert found.conversations == 2
    assert found.turn_taking["bos"].recall > 0.5
    assert sum(found.outcomes.values()) == found.turn_taking["bos"].predicted
    assert found.failures == 0
    assert found.committed == 1
    logs = sorted((tmp_path / "out").glob("*.jsonl"))
    assert len(logs) == 2
    for log in logs:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        sound, rate = soundfile.read(log.with_suffix(".wav"), dtype="int16")
        ticks = sum(line["what"] == "tick" for line in lines)
        assert rate == 16_000
        assert sound.shape[1] == 2
        assert ticks >= len(sound) // 2_560
    assert json.loads((tmp_path / "out/replay.json").read_text())["conversations"] == 2
    assert any("relay margin" in line for line in table(found))


@pytest.mark.slow
def test_conversations_side_by_side_are_those_one_after_the_other(dataset: str) -> None:
    one, two = (run(dataset, limit=3, turn_taking="recorded", at_once=n) for n in (1, 3))
    assert one.outcomes == two.outcomes
    assert one.turn_taking == two.turn_taking
    assert one.margin_ms == two.margin_ms


def test_a_sound_file_has_the_user_on_its_second_channel(tmp_path: Path) -> None:
    user = np.concatenate([silence(0.5), speech(1.0), silence(0.5)])
    both = np.stack([np.zeros_like(user), user], axis=1)
    soundfile.write(tmp_path / "two.wav", both, 16_000, subtype="PCM_16")
    (talk,) = talks(str(tmp_path / "two.wav"))
    assert np.abs(talk.user.astype(int) - user).max() <= 1
    soundfile.write(tmp_path / "one.wav", np.repeat(user, 2), 32_000, subtype="PCM_16")
    (talk,) = talks(str(tmp_path / "one.wav"))
    assert len(talk.user) == len(user)
    assert run(str(tmp_path / "two.wav")).conversations == 1


def test_what_cannot_be_replayed_is_said(tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="neither a sound file"):
        run(str(tmp_path / "no.wav"))
    soundfile.write(tmp_path / "a.wav", speech(0.5), 16_000)
    with pytest.raises(ValueError, match="no recorded turns"):
        run(str(tmp_path / "a.wav"), turn_taking="recorded")


def test_spreads() -> None:
    assert Spread.of([]) is None
    found = Spread.of([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.p50, found.worst, found.count) == (2.0, 3.0, 3)
