"""Laws of a streaming speaker, on espeak-ng: all words in order, in time, in any portions; silent once cancelled."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.speaking import (
    SENTENCES,
    Clock,
    Push,
    at_once,
    audio,
    check,
    in_pieces,
    ms,
    say,
    speaker,
    spoken,
    voice,
    words,
)
from tests.tts.speaking import ODD
from trainer.runtime.speaking._base import Chunk, Utterance

PREFIX = "I think that is a"
REST = "good idea because it saves time."


@settings(max_examples=40, deadline=None)
@given(
    text=st.sampled_from(SENTENCES),
    cuts=st.lists(st.integers(0, 40), max_size=12),
    gap=st.sampled_from([0.0, 0.03, 0.25, 1.5]),
)
def test_words_out_are_words_pushed_under_any_portioning(text: str, cuts: list[int], gap: float) -> None:
    check(spoken(in_pieces(text, cuts, gap)), text.split())


@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(ODD, min_size=1, max_size=5), gap=st.sampled_from([0.0, 0.4]))
def test_odd_texts_keep_their_words(pieces: list[str], gap: float) -> None:
    pushes = [(n * gap, piece, n == len(pieces) - 1) for n, piece in enumerate(pieces)]
    check(spoken(pushes), " ".join(pieces).split())


@settings(max_examples=15, deadline=None)
@given(text=st.sampled_from(SENTENCES), cuts=st.lists(st.integers(0, 40), max_size=8), gap=st.sampled_from([0.0, 0.2]))
def test_same_pushes_same_bytes(text: str, cuts: list[int], gap: float) -> None:
    pushes = in_pieces(text, cuts, gap)
    first, second = spoken(pushes), spoken(pushes)
    assert [chunk.pcm.tobytes() for chunk in first] == [chunk.pcm.tobytes() for chunk in second]
    assert words(first) == words(second)


def test_a_whole_text_sounds_as_long_as_its_pieces() -> None:
    whole, pieces = audio(spoken(at_once(SENTENCES[0]))), audio(spoken(in_pieces(SENTENCES[0], range(40), 0.05)))
    assert pieces.size == pytest.approx(whole.size, rel=0.12)


def test_the_first_piece_is_said_at_once_and_the_rest_when_it_is_needed() -> None:
    pushes: list[Push] = [(0.0, PREFIX, False)]
    pushes += [(0.1 + 0.04 * n, word, False) for n, word in enumerate(REST.split())]
    chunks = spoken([*pushes, (0.5, "", True)])
    assert [w for w, _, _ in chunks[0].words] == PREFIX.split()
    assert [[w for w, _, _ in chunk.words] for chunk in chunks[1:] if chunk.words] == [REST.split()]


def test_audio_never_runs_dry_while_words_come_faster_than_they_are_spoken() -> None:
    """Every chunk is given out before the listener has heard the one before."""

    async def run() -> None:
        clock = Clock()
        utterance = speaker().begin(voice(), 7, clock=clock, inline=True)
        times: list[tuple[float, int]] = []

        async def collect() -> None:
            async for chunk in utterance:
                times.append((clock.now, chunk.pcm.size))

        task = asyncio.create_task(collect())
        text = " ".join(SENTENCES[5:8]).replace(",", "").replace(".", "").replace(";", "").split()
        pieces = [" ".join(text[:5]), *text[5:]]
        for n, piece in enumerate(pieces):
            utterance.push(piece, n == len(pieces) - 1)
            for _ in range(15):  # 150 ms a piece: 400 words per minute
                clock.now += 0.01
                utterance.wake()
                for _ in range(12):
                    await asyncio.sleep(0)
        await task
        heard_until = 0.0
        for at, size in times:
            assert at <= heard_until + 0.02
            heard_until += ms(size) / 1000
        assert len(times) < len(text) / 2

    asyncio.run(run())


def test_in_real_time_a_held_word_comes_before_the_audio_is_over() -> None:
    async def run() -> None:
        utterance = speaker().begin(voice(), 7)
        utterance.push(PREFIX, False)
        chunks = aiter(utterance)
        first = await anext(chunks)
        began = time.perf_counter()
        utterance.push("good", False)
        second = await anext(chunks)
        took = time.perf_counter() - began
        assert [word for word, _, _ in second.words] == ["good"]
        assert 0.5 < took * 16_000 / first.pcm.size < 1.1
        utterance.cancel()
        assert [chunk async for chunk in chunks] == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("before", "after"), [("I live in", "the big house."), ("most of", "the time."), ("10", "000")]
)
def test_words_said_as_one_are_parted_and_go_on(before: str, after: str) -> None:
    """espeak-ng has one time for "in the"; the second half is still said, in the middle of a sentence."""
    chunks = spoken([(0.0, before, False), (0.0, after, True)])
    check(chunks, f"{before} {after}".split())
    assert ms(chunks[1].pcm.size) > 300
    assert chunks[1].words[0][2] - chunks[1].words[0][1] > 500


def test_nothing_to_say_gives_nothing() -> None:
    assert spoken([(0.0, "", False), (0.1, " ", True)]) == []
    chunks = spoken([(0.0, "- ***", True)])
    assert [word for word, _, _ in words(chunks)] == ["-", "***"]
    assert audio(chunks).size == 0


def test_a_failed_slow_path_ends_gracefully() -> None:
    """The last samples are faded out, with no step to silence."""
    pcm = audio(spoken([(0.0, PREFIX, False), (2.0, "", True)]))
    assert abs(int(pcm[-1])) <= 0.01 * np.abs(pcm.astype(int)).max()


def test_nothing_follows_the_last_piece_and_iteration_is_for_one() -> None:
    async def run() -> None:
        utterance = speaker().begin(voice(), 7)
        utterance.push("Yes.", True)
        with pytest.raises(ValueError, match="last piece"):
            utterance.push("No.", False)
        assert [chunk async for chunk in utterance]
        with pytest.raises(RuntimeError, match="once"):
            aiter(utterance)

    asyncio.run(run())


def test_a_voice_of_another_engine_is_refused() -> None:
    with pytest.raises(ValueError, match=r"params\.variant"):
        speaker().begin(voice(variant="nobody"), 7)


async def _cancelled(utterance: Utterance, after: float) -> tuple[list[Chunk], float]:
    """What comes after a cancellation, and how long the iteration takes to end, in ms."""
    chunks: list[Chunk] = []

    async def collect() -> None:
        async for chunk in utterance:
            chunks.append(chunk)

    task = asyncio.create_task(collect())
    utterance.push(PREFIX, False)
    await asyncio.sleep(after)
    before, began = len(chunks), time.perf_counter()
    utterance.cancel()
    utterance.push("and more", True)
    await task
    return chunks[before:], 1000 * (time.perf_counter() - began)


@pytest.mark.parametrize("after", [0.0, 0.002, 0.05])
def test_nothing_comes_after_cancel_which_is_quick(after: float) -> None:
    async def run() -> list[tuple[list[Chunk], float]]:
        return [await _cancelled(speaker().begin(voice(), 7), after) for _ in range(5)]

    results = asyncio.run(run())
    assert all(chunks == [] for chunks, _ in results)
    assert min(took for _, took in results) < 20


def test_leaving_the_iteration_cancels() -> None:
    async def run() -> None:
        utterance = speaker().begin(voice(), 7)
        utterance.push(SENTENCES[0], False)
        chunks = aiter(utterance)
        await anext(chunks)
        await chunks.aclose()  # pyright: ignore[reportAttributeAccessIssue]  # an async generator
        utterance.push("ignored", True)
        assert [chunk async for chunk in chunks] == []

    asyncio.run(run())


def test_threads_say_what_the_inline_path_says() -> None:
    async def run() -> list[Chunk]:
        clock = Clock()
        utterance = speaker().begin(voice(), 7, clock=clock)
        return await say(utterance, at_once(SENTENCES[2]), clock)

    assert audio(asyncio.run(run())).tobytes() == audio(spoken(at_once(SENTENCES[2]))).tobytes()


def test_the_first_chunk_of_a_prefix_comes_quickly() -> None:
    """Through a thread, on a busy machine; the bound is for the quickest of twenty."""

    async def first(seed: int) -> float:
        utterance = speaker().begin(voice(), seed)
        began = time.perf_counter()
        utterance.push(PREFIX, False)
        async for chunk in utterance:
            assert chunk.pcm.size
            break
        return 1000 * (time.perf_counter() - began)

    async def run() -> list[float]:
        return [await first(seed) for seed in range(20)]

    assert min(asyncio.run(run())) < 40
