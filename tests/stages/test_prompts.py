"""Laws of the stage that cuts prompts: run on shards of real collections in small trees."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from datagen import kinds
from datagen.files import Folder
from datagen.kinds import KindConfig
from datagen.stages import prompts, run_shard
from datagen.stages.prompts import CastVoice, Config
from datagen.store import ShardReport, StageFolder
from tests.helpers import samples
from tests.voices.talking import LONG, SHORT, known_asr, spoken, write_voxceleb

__all__ = ["known_asr"]


def voxceleb(root: Path) -> KindConfig:
    return kinds.parse("voices", {"kind": "voxceleb", "path": str(root)})


def folder(root: Path) -> KindConfig:
    said = {"licence": "CC0-1.0", "consent": "given", "origin": "here"}
    return kinds.parse("voices", {"kind": "folder", "path": str(root), **said})


def asr(kind: str, root: Path, **fields: object) -> KindConfig:
    return kinds.parse("asr", {"kind": kind, "path": str(root), **fields})


def run(work: Path, config: Config, shard: int = 0) -> tuple[ShardReport, StageFolder]:
    report = run_shard(str(work), "prompts", config, {"prompts": "f" * 64}, shard)
    return report, StageFolder(Folder(str(work)), "prompts", "f" * 64)


def voices(work: Path, config: Config, shard: int = 0) -> list[tuple[CastVoice, list[tuple[np.ndarray, int]]]]:
    """The shard's people, each with the samples of their prompts."""
    _, stage = run(work, config, shard)
    found = list(stage.records(shard, CastVoice))
    if not found:
        return []
    with stage.pack(shard) as pack:
        wavs = [[pack.read(p.wav) for p in voice.prompts] for voice in found]
    assert [[hashlib.sha256(w).hexdigest() for w in some] for some in wavs] == [
        [p.sha256 for p in voice.prompts] for voice in found
    ]
    return [(v, [soundfile.read(BytesIO(w), dtype="int16") for w in some]) for v, some in zip(found, wavs, strict=True)]


def reasons(work: Path, config: Config) -> dict[str, str]:
    _, stage = run(work, config)
    return {line["id"]: line["reason"] for line in stage.rejected(0)}


def write_texts(root: Path, person: str, texts: tuple[str, ...], rate: int = 16_000, variant: str = "f1") -> None:
    """A speaker's folder in the layout of the kind ``folder``, with the texts beside."""
    (root / person).mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        signal = spoken(text, variant)[0] / np.float32(32_768)
        soundfile.write(root / person / f"{number}.wav", soxr.resample(signal, 16_000, rate), rate)
        (root / person / f"{number}.txt").write_text(text)


def silence_at_the_end(pcm: np.ndarray, rate: int) -> float:
    """Seconds after the last sample that is louder than the room."""
    return (pcm.size - 1 - np.flatnonzero(np.abs(pcm.astype(int)) > 100)[-1]) / rate


def test_prompts_are_cut_from_the_recordings_of_a_person(tmp_path: Path, known_asr: str) -> None:
    write_voxceleb(tmp_path / "vox", 2)
    config = Config(collection=voxceleb(tmp_path / "vox"), asr=asr(known_asr, tmp_path / "vox"))
    found = voices(tmp_path / "work", config)
    assert [(voice.id, voice.params) for voice, _ in found] == [
        ("id10001", {"gender": "m"}),
        ("id10002", {"gender": "f"}),
    ]
    for voice, cuts in found:
        assert len(cuts) == 3
        *long, short = voice.prompts
        assert all(5 <= p.seconds <= 8 and p.text in LONG for p in long)
        assert 3 <= short.seconds <= 4
        assert 6 <= len(short.text.split()) <= 10
        for prompt, (pcm, rate) in zip(voice.prompts, cuts, strict=True):
            assert rate == 16_000
            assert prompt.seconds == pytest.approx(pcm.size / rate, abs=1e-3)
            assert 0.2 <= silence_at_the_end(pcm, rate) <= 0.5
            assert prompt.snr_db > 30


def test_a_prompt_holds_the_very_samples_of_its_recording(tmp_path: Path, known_asr: str) -> None:
    write_voxceleb(tmp_path / "vox", 1)
    config = Config(collection=voxceleb(tmp_path / "vox"), asr=asr(known_asr, tmp_path / "vox"))
    ((voice, cuts),) = voices(tmp_path / "work", config)
    recordings = [spoken(text, "m1") for text in (*LONG, SHORT)]
    for prompt, (pcm, _) in zip(voice.prompts, cuts, strict=True):
        ((at, words),) = [
            (r.tobytes().find(pcm.tobytes()) // 2, w) for r, w in recordings if pcm.tobytes() in r.tobytes()
        ]
        inside = [w.text for w in words if at <= w.start and w.end <= at + pcm.size]
        assert prompt.text == " ".join(inside)


@pytest.mark.parametrize(("rate", "kept"), [(16_000, 16_000), (22_050, 22_050), (24_000, 24_000), (48_000, 24_000)])
def test_texts_of_the_collection_need_no_recogniser(tmp_path: Path, rate: int, kept: int) -> None:
    write_texts(tmp_path / "corpus", "ann", (*LONG, SHORT), rate)
    ((voice, cuts),) = voices(tmp_path / "work", Config(collection=folder(tmp_path / "corpus")))
    assert [p.text for p in voice.prompts[:2]] != [SHORT, SHORT]
    assert {p.text for p in voice.prompts[:2]} < set(LONG)
    assert voice.prompts[2].text == SHORT
    assert {rate for _, rate in cuts} == {kept}
    assert (voice.licence, voice.consent, voice.origin) == ("CC0-1.0", "given", "here")


def test_without_text_and_recogniser_there_is_no_prompt(tmp_path: Path) -> None:
    write_voxceleb(tmp_path / "vox", 1)
    told = reasons(tmp_path / "work", Config(collection=voxceleb(tmp_path / "vox")))
    assert set(told) == {"id10001"}
    assert "none of 4 recordings can be used; the first: video0/00000.wav: has no text" in told["id10001"]


def test_what_a_recogniser_leaves_out_is_no_prompt(tmp_path: Path, known_asr: str) -> None:
    """Every sentence loses its longest words, so that seconds of speech have no text."""
    write_voxceleb(tmp_path / "vox", 1)
    deaf = tuple(word for text in (*LONG, SHORT) for word in text.split() if len(word) > 2)
    config = Config(collection=voxceleb(tmp_path / "vox"), asr=asr(known_asr, tmp_path / "vox", deaf_to=deaf))
    assert "of speech have no word" in reasons(tmp_path / "work", config)["id10001"]


def test_bad_recordings_are_passed_over(tmp_path: Path) -> None:
    write_texts(tmp_path / "corpus", "ann", LONG)
    (tmp_path / "corpus/ann/0.wav").write_bytes(b"RIFF of nothing")
    soundfile.write(tmp_path / "corpus/ann/1.wav", np.zeros(80_000), 16_000)
    ((voice, _),) = voices(tmp_path / "work", Config(collection=folder(tmp_path / "corpus")))
    assert [p.text for p in voice.prompts] == [LONG[2]]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda signal: (signal[::2], 8_000), "8000 samples per second, fewer than 16000"),
        (lambda signal: (signal[: 2 * 16_000], 16_000), "lasts 1.5 s, not 3 to 10"),
        (lambda signal: (np.clip(signal * 30, -1, 1), 16_000), "samples are clipped"),
        (lambda signal: (signal * 0.03, 16_000), "its speech has"),
        (lambda signal: (signal * np.nan, 16_000), "no numbers"),
        (lambda signal: (np.concatenate([signal, signal, signal]), 16_000), "s, not 3 to 10"),
    ],
)
def test_why_a_person_is_refused_is_told(tmp_path: Path, spoil: object, reason: str) -> None:
    (tmp_path / "corpus/ann").mkdir(parents=True)
    signal, rate = spoil(spoken(LONG[0], "f1")[0] / 32_768)  # type: ignore[operator]
    soundfile.write(tmp_path / "corpus/ann/1.wav", signal, rate, subtype="FLOAT")
    (tmp_path / "corpus/ann/1.txt").write_text(LONG[0])
    assert reason in reasons(tmp_path / "work", Config(collection=folder(tmp_path / "corpus")))["ann"]


def test_a_text_that_cannot_be_it_is_refused_or_heard_again(tmp_path: Path, known_asr: str) -> None:
    write_texts(tmp_path / "corpus", "ann", (LONG[0],))
    (tmp_path / "corpus/ann/0.txt").write_text("In 1984 this was said 3 times, and in 1985 it was said again.")
    config = Config(collection=folder(tmp_path / "corpus"))
    assert "'1', which does not tell" in reasons(tmp_path / "one", config)["ann"]
    words = [[word.text, word.start, word.end] for word in spoken(LONG[0], "f1")[1]]
    (tmp_path / "corpus/ann/0.json").write_text(json.dumps(words))
    heard = config.model_copy(update={"asr": asr(known_asr, tmp_path / "corpus")})
    ((voice, _),) = voices(tmp_path / "two", heard)
    assert voice.prompts[0].text == LONG[0]


def test_people_are_spread_over_shards_and_problems_stand_in_the_first(tmp_path: Path) -> None:
    for name in ("ann", "bob", "cyd", "dee", "eve"):
        write_texts(tmp_path / "corpus", name, LONG[:1])
    (tmp_path / "corpus/empty").mkdir()
    config = Config(collection=folder(tmp_path / "corpus"), people_per_shard=2)
    assert prompts.num_shards(config) == 3
    reports = [run(tmp_path / "work", config, shard)[0] for shard in range(3)]
    assert [(r.taken, r.given, r.rejected) for r in reports] == [(3, 2, 1), (2, 2, 0), (1, 1, 0)]
    assert [v.id for shard in range(3) for v, _ in voices(tmp_path / "work", config, shard)] == [
        "ann",
        "bob",
        "cyd",
        "dee",
        "eve",
    ]
    assert reasons(tmp_path / "work", config) == {"empty": "empty: holds no .wav or .flac file"}


def test_faults_of_the_machine_end_the_shard(tmp_path: Path, known_asr: str) -> None:
    write_voxceleb(tmp_path / "vox", 1)
    config = Config(collection=voxceleb(tmp_path / "vox"), asr=asr(known_asr, tmp_path / "vox", gone=True))
    with pytest.raises(ConnectionError, match="does not answer"):
        run(tmp_path / "work", config)
    config = Config(collection=voxceleb(tmp_path / "vox"), asr=asr(known_asr, tmp_path / "vox"))
    kinds.make("voices", config.collection).people()
    (tmp_path / "vox/wav/id10001/video0/00000.wav").unlink()
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "work", config)


def test_real_readers_have_prompts(tmp_path: Path) -> None:
    """Three sentences of two VCTK speakers, and one at 48 kHz of a third, with their texts."""
    home = samples() / "speech"
    told = {
        Path(s["file"]).name: s.get("transcript") or "" for s in json.loads((home.parent / "manifest.json").read_text())
    }
    for path in sorted(home.glob("vctk_*.wav")):
        target = tmp_path / "corpus" / path.stem.split("_")[1] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
        target.with_suffix(".txt").write_text(told[path.name])
    found = {v.id: (v, cuts) for v, cuts in voices(tmp_path / "work", Config(collection=folder(tmp_path / "corpus")))}
    assert {id_: len(v.prompts) for id_, (v, _) in found.items()} == {"p225": 2, "p226": 2, "p286": 1}
    assert {rate for _, rate in found["p286"][1]} == {24_000}
    assert all(5 < p.seconds < 8 and p.snr_db > 30 for v, _ in found.values() for p in v.prompts)
