"""Laws of a speaker on any engine of datagen.tts, over a real HTTP server: portions, silences, faults, cancelling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datagen import kinds
from datagen.core.types import Voice
from tests.runtime.speaking import SENTENCES, audio, check, in_pieces, ms, spoken, words
from tests.runtime.speaking import voice as espeak_voice
from tests.tts.cloning import prompt, voice
from tests.tts.speech_server import RATE, Asked, Reply, SpeechServer, pcm, serving, wav
from trainer.runtime.speaking import engine
from trainer.runtime.speaking._base import Chunk, SpeakingError

PREFIX = "I think that is a"


def spoken_back(asked: Asked) -> Reply:
    """Speech of the right length (a tone of 280 ms a word) between 200 ms of silence on each side."""
    silence = np.zeros(RATE // 5, np.int16)
    count = len(asked.json()["input"].split())
    return Reply(wav(np.concatenate([silence, pcm(0.28 * count), silence])), headers={"Content-Type": "audio/wav"})


@pytest.fixture
def ann(tmp_path: Path) -> Voice:
    return voice(prompt(tmp_path))


@pytest.fixture
def server() -> Iterator[SpeechServer]:
    with serving(spoken_back) as running:
        yield running


def speaker(url: str, **settings: object) -> engine.EngineSpeaker:
    http = {"kind": "openai_speech", "model": "m", "url": url, "timeout_s": 5, "attempts": 1, "backoff_s": 0.001}
    return engine.make(engine.Config.model_validate({"kind": "engine", "engine": http} | settings))


def asked_texts(server: SpeechServer) -> list[str]:
    return [asked.json()["input"] for asked in server.asked]


def test_portions_are_whole_texts_and_keep_the_voice_up_where_more_follows(server: SpeechServer, ann: Voice) -> None:
    pushes = [(0.0, PREFIX, False), (0.1, "good idea,", False), (0.2, "because it saves", False), (0.3, "time.", True)]
    chunks = spoken(pushes, who=ann, with_=speaker(server.url))
    check(chunks, " ".join(text for _, text, _ in pushes).split())
    assert asked_texts(server) == [PREFIX + ",", "good idea,", "because it saves time."]
    assert len({asked.json()["seed"] for asked in server.asked}) == 3


def test_silence_at_seams_is_trimmed_or_a_pause(server: SpeechServer, ann: Voice) -> None:
    chunks = spoken(
        [(0.0, PREFIX, False), (0.1, "good idea,", False), (0.2, "you know.", True)],
        who=ann,
        with_=speaker(server.url),
    )
    sound = audio(chunks)
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 0.02 * np.abs(sound.astype(int)).max())
    gaps = sorted(ms(gap) for gap in np.diff(loud) - 1 if gap > 80)
    assert len(gaps) == 1  # the comma's; there is none after the prefix
    assert 130 < gaps[0] < 170
    assert loud[0] < 320
    assert ms(sound.size) == pytest.approx(280 * 9 + 140, abs=60)


@pytest.mark.parametrize("cuts", [[], [3], [1, 2, 9], list(range(30))])
def test_words_out_are_words_pushed(server: SpeechServer, ann: Voice, cuts: list[int]) -> None:
    pushes = in_pieces(SENTENCES[2], cuts, 0.1)
    chunks = spoken(pushes, who=ann, with_=speaker(server.url))
    check(chunks, SENTENCES[2].split())
    again = spoken(pushes, who=ann, with_=speaker(server.url))
    assert audio(again).tobytes() == audio(chunks).tobytes()


def test_an_engines_own_word_times_are_kept() -> None:
    own = kinds.make("tts", kinds.parse("tts", {"kind": "espeak"})).synthesize("Yes, of course.", espeak_voice(), 1)
    config = engine.Config.model_validate({"kind": "engine", "engine": {"kind": "espeak"}})
    said = words(spoken([(0.0, "Yes, of course.", True)], who=espeak_voice(), with_=engine.make(config)))
    assert [w for w, _, _ in said] == [w.text for w in own.words]
    assert all(abs(ms(a - w.start)) <= 12 for (_, a, _), w in zip(said, own.words, strict=True))


def test_a_silent_clip_is_tried_again_with_another_seed(server: SpeechServer, ann: Voice) -> None:
    quiet = Reply(wav(np.zeros(RATE, np.int16)))
    server.behave = lambda asked: quiet if asked.number == 0 else spoken_back(asked)
    chunks = spoken([(0.0, PREFIX, True)], who=ann, with_=speaker(server.url))
    check(chunks, PREFIX.split())
    first, second = (asked.json()["seed"] for asked in server.asked)
    assert first != second


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(wav(np.zeros(RATE, np.int16))), "silent"),
        (Reply(b'{"error": "broken"}', 500), "500"),
        (Reply(b""), "WAV"),
    ],
)
def test_what_cannot_be_said_is_an_error(server: SpeechServer, ann: Voice, reply: Reply, reason: str) -> None:
    server.behave = lambda _: reply
    with pytest.raises(SpeakingError, match=reason):
        spoken([(0.0, PREFIX, True)], who=ann, with_=speaker(server.url))


def test_a_server_that_hangs_ends_the_utterance(server: SpeechServer, ann: Voice) -> None:
    server.behave = lambda _: Reply(how="hang")

    async def run() -> None:
        utterance = speaker(server.url, timeout_s=0.1).begin(ann, 1)
        utterance.push(PREFIX, True)
        with pytest.raises(SpeakingError, match="timeout_s"):
            await anext(aiter(utterance))

    asyncio.run(run())


def test_cancel_takes_no_time_while_the_server_is_asked_and_drops_what_it_says(
    server: SpeechServer, ann: Voice
) -> None:
    def slowly(asked: Asked) -> Reply:
        time.sleep(0.15)
        return spoken_back(asked)

    server.behave = slowly

    async def run() -> tuple[list[Chunk], float]:
        chunks: list[Chunk] = []

        async def collect() -> None:
            async for chunk in utterance:
                chunks.append(chunk)

        utterance = speaker(server.url).begin(ann, 1)
        utterance.push(PREFIX, True)
        task = asyncio.create_task(collect())
        await asyncio.sleep(0.05)
        assert server.at_once == 1
        began = time.perf_counter()
        utterance.cancel()
        await task
        took = 1000 * (time.perf_counter() - began)
        await asyncio.sleep(0.2)
        return chunks, took

    chunks, took = asyncio.run(run())
    assert chunks == []
    assert took < 20


def test_what_is_cancelled_before_its_turn_is_never_asked_for(server: SpeechServer, ann: Voice) -> None:
    """One call at a time: the second utterance waits for the first and is cancelled meanwhile."""
    server.behave = lambda asked: (time.sleep(0.1), spoken_back(asked))[1]
    http = {"kind": "openai_speech", "model": "m", "url": server.url, "concurrency": 1}
    speak = engine.make(engine.Config.model_validate({"kind": "engine", "engine": http}))

    async def run() -> None:
        first, second = speak.begin(ann, 1), speak.begin(ann, 2)
        tasks = []
        for utterance, text in ((first, "one two three"), (second, "four five six")):
            utterance.push(text, True)
            tasks.append(asyncio.ensure_future(anext(aiter(utterance), None)))
            await asyncio.sleep(0.02)
        second.cancel()
        chunk = await tasks[0]
        assert chunk is not None
        assert [word for word, _, _ in chunk.words] == ["one", "two", "three"]
        assert await tasks[1] is None
        await asyncio.sleep(0.05)

    asyncio.run(run())
    assert asked_texts(server) == ["one two three"]


def test_a_voice_the_engine_does_not_know_is_refused(server: SpeechServer) -> None:
    with pytest.raises(ValueError, match=r"params\.voice"):
        speaker(server.url).begin(espeak_voice(), 1)
