"""Laws of the exchange with a batch tool: what is asked for, once and only once, and what is made of the answers."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import Prompt, Voice
from datagen.core.units import SAMPLE_RATE
from datagen.identity import digest
from datagen.kinds import NotYet, Unspoken
from datagen.tts.batch import Batch, Config, make, needs, request, revision, write_requests
from tests.tts.cloning import prompt, voice
from tests.tts.speech_server import pcm, wav

CONFIG = Config(kind="batch", path="/nowhere", model="m@1")
PROMPT = Prompt(path="/p/a.wav", sha256="0" * 64, text="This is how I sound.", seconds=4)
TEXT = "Hello there."


def batch(folder: Path, **fields: object) -> Batch:
    return make(Config.model_validate({"kind": "batch", "path": str(folder), "model": "m@1"} | fields))


def ask(speaker: Batch, who: Voice, text: str = TEXT, seed: int = 1) -> dict[str, str]:
    """The line an engine asks for."""
    with pytest.raises(NotYet) as caught:
        speaker.synthesize(text, who, seed)
    (line,) = caught.value.requests
    return dict(line)


def tool(path: str | None, make_clip: bytes = b"") -> int:
    """What FlashCosyVoice does: takes the lines that are complete and have a prompt, and writes each one's file."""
    made = 0
    for line in Path(path or "").read_text(encoding="utf-8").splitlines():
        todo = json.loads(line)
        assert set(todo) == {"key", "prompt_text", "text", "prompt_wav", "wav"}
        assert all(isinstance(value, str) and value for value in todo.values())
        assert Path(todo["prompt_wav"]).is_absolute()
        assert Path(todo["prompt_wav"]).exists()
        assert Path(todo["wav"]).is_absolute()
        Path(todo["wav"]).parent.mkdir(parents=True, exist_ok=True)
        Path(todo["wav"]).write_bytes(make_clip or wav(pcm(len(todo["text"]) / 20)))
        made += 1
    return made


def test_what_is_missing_is_asked_for_and_found_when_it_was_made(tmp_path: Path) -> None:
    ann, bob = voice(prompt(tmp_path)), voice(prompt(tmp_path, "b.flac", text="Me too."), id="v2")
    speaker = batch(tmp_path / "batch")
    jobs = [(text, who, seed) for text in (TEXT, "Zoë says 你好.") for who in (ann, bob) for seed in (1, 2)]
    lines = [ask(speaker, who, text, seed) for text, who, seed in jobs]
    assert tool(write_requests(str(tmp_path / "batch"), lines)) == len(jobs)
    for text, who, seed in Random(0).sample(jobs, len(jobs)):
        speech = speaker.synthesize(text, who, seed)
        assert speech.words is None
        assert speech.pcm.size == pytest.approx(len(text) / 20 * SAMPLE_RATE, abs=1)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 48_000])
def test_clips_of_any_rate_are_read(tmp_path: Path, rate: int) -> None:
    speaker, ann = batch(tmp_path / "batch"), voice(prompt(tmp_path))
    tool(write_requests(str(tmp_path / "batch"), [ask(speaker, ann)]), wav(pcm(0.5, rate=rate), rate, "FLOAT"))
    assert speaker.synthesize(TEXT, ann, 1).pcm.size == pytest.approx(SAMPLE_RATE // 2, abs=1)


WHOLE = wav(pcm(0.5))


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF",
        WHOLE[:40] + bytes(4) + WHOLE[44:],
        WHOLE[:60],
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        b"\0" * 9_000,
        wav(pcm(0.02)),
        wav(pcm(3.0)),
    ],
)
def test_a_damaged_clip_is_unspoken_so_that_the_next_seed_is_asked_for(tmp_path: Path, content: bytes) -> None:
    speaker, ann = batch(tmp_path / "batch", max_seconds=2), voice(prompt(tmp_path))
    line = ask(speaker, ann)
    tool(write_requests(str(tmp_path / "batch"), [line]), content)
    with pytest.raises(Unspoken):
        speaker.synthesize(TEXT, ann, 1)
    assert ask(speaker, ann, seed=2)["key"] != line["key"]


def test_an_empty_clip_is_unspoken(tmp_path: Path) -> None:
    speaker, ann = batch(tmp_path), voice(prompt(tmp_path))
    path = tmp_path / ask(speaker, ann)["wav"]
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(Unspoken, match="no WAV"):
        speaker.synthesize(TEXT, ann, 1)


def test_a_folder_that_cannot_be_read_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "batch").write_text("a file")
    with pytest.raises(OSError, match="Not a directory") as caught:
        batch(tmp_path / "batch").synthesize(TEXT, voice(PROMPT), 1)
    assert not isinstance(caught.value, NotYet)


def test_the_key_is_stable() -> None:
    """Clips that are paid for must be found again by later versions."""
    line = request(TEXT, voice(PROMPT), 1, CONFIG)
    assert line == {
        "key": "7662577f0afef34f359c7c38389fdebf",
        "prompt_text": "This is how I sound.",
        "text": TEXT,
        "prompt_wav": "/p/a.wav",
        "wav": "wavs/76/7662577f0afef34f359c7c38389fdebf.wav",
    }


ASKED = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda s: s + "a"),
    st.sampled_from(["v1", "v2"]),
    st.sampled_from(["0" * 64, "1" * 64]),
    st.sampled_from(["One.", "Two."]),
    st.integers(0, 2**64 - 1) | st.integers(0, 3),
    st.sampled_from(["m", "n"]),
)


@given(one=ASKED, two=ASKED)
def test_two_clips_share_a_key_only_when_everything_that_decides_them_is_equal(one: Any, two: Any) -> None:
    def key(asked: tuple[str, str, str, str, int, str], path: str) -> str:
        text, who, sha256, said, seed, model = asked
        recording = Prompt(path=path, sha256=sha256, text=said, seconds=4)
        return request(text, voice(recording, id=who), seed, CONFIG.model_copy(update={"model": model}))["key"]

    assert (key(one, "/a") == key(two, "/b")) == (one == two)


@given(texts=st.lists(st.text("ab é你", min_size=1, max_size=9).map(lambda s: s + "x"), min_size=1, max_size=20))
def test_requests_are_written_once_each(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("b")
    lines = [request(text, voice(PROMPT), 1, CONFIG) for text in texts]
    path = write_requests(str(folder), lines)
    assert path is not None
    written = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
    assert sorted(line["text"] for line in written) == sorted(set(texts))
    assert all(line["wav"] == f"{folder}/wavs/{line['key'][:2]}/{line['key']}.wav" for line in written)
    before = Path(path).read_bytes()
    assert write_requests(str(folder), lines[::-1] * 2) == path
    assert Path(path).read_bytes() == before


def test_new_requests_take_the_place_of_the_same_parts_old_ones_alone(tmp_path: Path) -> None:
    lines = [request(f"Text {n}.", voice(PROMPT), 1, CONFIG) for n in range(7)]
    (tmp_path / "todo.txt").write_text("mine")
    other = write_requests(str(tmp_path), lines[4:], 1)
    assert other is not None
    kept = Path(other).read_bytes()
    write_requests(str(tmp_path), lines[:4], 0)
    write_requests(str(tmp_path), lines[:1], 0)
    assert len((tmp_path / "todo-00000.jsonl").read_text().splitlines()) == 1
    assert write_requests(str(tmp_path), [], 0) is None
    assert {path.name for path in tmp_path.iterdir()} == {"todo.txt", Path(other).name}
    assert Path(other).read_bytes() == kept


def test_a_relative_folder_and_prompt_are_written_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = request(TEXT, voice(PROMPT.model_copy(update={"path": "a.wav"})), 1, CONFIG)
    path = write_requests("out", [line])
    assert path is not None
    written = json.loads(Path(path).read_text())
    assert written["prompt_wav"] == str(tmp_path / "a.wav")
    assert written["wav"] == str(tmp_path / "out" / line["wav"])


def test_what_cannot_be_asked_for_is_refused(tmp_path: Path) -> None:
    speaker = batch(tmp_path)
    with pytest.raises(ValueError, match="nothing to say"):
        speaker.synthesize("...", voice(PROMPT), 1)
    with pytest.raises(ValueError, match="no prompt"):
        speaker.synthesize(TEXT, voice(), 1)
    with pytest.raises(ValueError, match=r"there is no prompt /p/a\.wav"):
        speaker.check_voice(voice(PROMPT))
    speaker.check_voice(voice(prompt(tmp_path)))
    with pytest.raises(ValueError, match="is a URL"):
        write_requests("s3://bucket/batch", [])


def test_identity_and_needs(tmp_path: Path) -> None:
    here = Config(kind="batch", path=str(tmp_path), model="m@1")
    assert digest(here) == digest(CONFIG)
    (tmp_path / "wavs").mkdir()
    assert digest(here) == digest(CONFIG), "a clip more is no other result"
    assert digest(here) != digest(Config(kind="batch", path=str(tmp_path), model="m@2"))
    assert revision(here) == "m@1"
    (need,) = needs(here)
    assert need.found == f"{tmp_path}, 0 files of requests"
    (missing,) = needs(CONFIG)
    assert not missing.found
    assert "mkdir -p /nowhere" in missing.remedy
