"""The OpenAI SDK for Python (package openai): raw events, typed; truncates and retrieves by hand."""
# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from tests.contract.clients.common import HEARD_S, RATE, Log, Microphone, address, run, sentence

LATE_MS = 500
"""The client's loudspeaker is so much behind: less was heard than the server thinks."""


async def scenario() -> dict[str, Any]:
    """A turn, a barge-in, a retrieve; then a written turn in mode relay."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="none", websocket_base_url=address())
    log = Log()
    async with client.realtime.connect(model="relay") as connection:
        reading = asyncio.create_task(_read(connection, log))
        await connection.session.update(session={"type": "realtime", "instructions": "be kind"})
        await log.first("session.updated")

        async def send(pcm: bytes) -> None:
            await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())

        async with Microphone(send).open() as microphone:
            report = await _spoken(connection, log, microphone)
        reading.cancel()
    report["relay"] = await _written(client, [report["turn"]["item"], report["barge_in"]["item"]])
    report["errors"] += [event.error.message for event in log.all("error")]
    return report


async def _read(connection: Any, log: Log) -> None:
    async for event in connection:
        log.add(event.type, event)


async def _spoken(connection: Any, log: Log, microphone: Microphone) -> dict[str, Any]:
    await microphone.say("turn")
    done = (await log.first("response.done")).response
    audio = sum(len(base64.b64decode(event.delta)) for event in log.all("response.output_audio.delta"))
    turn = {"item": done.output[0].id, "text": done.output[0].content[0].transcript, "audio": audio}
    place = len(log)
    await microphone.say("turn")
    first = await log.first("response.output_audio.delta", place)
    began = time.monotonic()
    await asyncio.sleep(HEARD_S)
    place = len(log)
    saying = asyncio.create_task(microphone.say("barge"))
    await log.first("input_audio_buffer.speech_started", place)
    heard_ms = round(1000 * (time.monotonic() - began)) - LATE_MS
    await connection.conversation.item.truncate(item_id=first.item_id, content_index=0, audio_end_ms=heard_ms)
    await log.first("conversation.item.truncated", place)
    stopped = (await log.first("response.done", place)).response
    await connection.conversation.item.retrieve(item_id=first.item_id)
    item = (await log.first("conversation.item.retrieved", place)).item
    await saying
    await log.first("response.output_audio.delta", place, lambda event: event.item_id != first.item_id)
    details = [stopped.status, stopped.status_details.reason, stopped.output[0].content[0].transcript]
    return {
        "turn": turn,
        "barge_in": {"item": first.item_id, "retrieved": item.content[0].transcript, "stopped": details},
        "written": await _asked(connection, log, "Hello there."),
        "errors": [],
    }


async def _asked(connection: Any, log: Log, text: str) -> dict[str, Any]:
    """The client stops the answer that is under way, writes, and asks for a response."""
    place = len(log)
    await connection.response.cancel()
    stopped = (await log.first("response.done", place)).response
    place = len(log)
    await _write(connection, text)
    await connection.response.create()
    done = (await log.first("response.done", place)).response
    return {"item": done.output[0].id, "text": done.output[0].content[0].transcript, "stopped": stopped.status}


async def _write(connection: Any, text: str, role: str = "user", **fields: str) -> None:
    content = [{"type": "input_text" if role == "user" else "output_text", "text": text}]
    await connection.conversation.item.create(item={"type": "message", "role": role, "content": content, **fields})


async def _written(client: Any, brought: list[str]) -> dict[str, Any]:
    """Without a microphone: the user writes, the client asks for a response. Earlier items come along by their ids."""
    log = Log()
    async with client.realtime.connect(model="relay", extra_query={"mode": "relay"}) as connection:
        reading = asyncio.create_task(_read(connection, log))
        for id in brought:
            await _write(connection, "I said this before.", "assistant", id=id)
        await _write(connection, "Hello there.")
        await connection.response.create()
        done = (await log.first("response.done")).response
        place = len(log)
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        await log.first("session.updated", place)
        pushed = [await _push_to_talk(connection, log) for _ in range(2)]
        reading.cancel()
    deltas = log.all("response.output_audio_transcript.delta")
    sources = [event.source for event in deltas if event.response_id == done.id]
    audio = sum(len(base64.b64decode(event.delta)) for event in log.all("response.output_audio.delta"))
    return {
        "pushed": pushed,
        "item": done.output[0].id,
        "text": done.output[0].content[0].transcript,
        "audio": audio,
        "status": done.status,
        "sources": sources,
        "brought": brought,
        "metadata": done.metadata,
        "errors": [event.error.message for event in log.all("error")],
    }


async def _push_to_talk(connection: Any, log: Log) -> dict[str, Any]:
    """No turn detection: the user's turn is what the client commits, sent at once."""
    place = len(log)
    pcm = sentence("barge")
    for start in range(0, len(pcm), RATE):
        await connection.input_audio_buffer.append(audio=base64.b64encode(pcm[start : start + RATE]).decode())
    await connection.input_audio_buffer.commit()
    user = (await log.first("input_audio_buffer.committed", place)).item_id
    await connection.response.create()
    done = (await log.first("response.done", place)).response
    await log.first("conversation.item.input_audio_transcription.completed", place, lambda one: one.item_id == user)
    return {"user": user, "item": done.output[0].id, "text": done.output[0].content[0].transcript}


if __name__ == "__main__":
    run("openai", scenario)
