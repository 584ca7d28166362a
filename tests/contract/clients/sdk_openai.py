"""The OpenAI SDK for Python (package openai): raw events, typed; truncates and retrieves by hand."""
# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from tests.contract.clients.common import HEARD_S, Log, Microphone, address, run


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
    report["relay"] = await _written(client)
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
    heard_ms = round(1000 * (time.monotonic() - began))
    await connection.conversation.item.truncate(item_id=first.item_id, content_index=0, audio_end_ms=heard_ms)
    await log.first("conversation.item.truncated", place)
    stopped = (await log.first("response.done", place)).response
    await connection.conversation.item.retrieve(item_id=first.item_id)
    item = (await log.first("conversation.item.retrieved", place)).item
    await saying
    await log.first("response.output_audio.delta", place, lambda event: event.item_id != first.item_id)
    return {
        "turn": turn,
        "barge_in": {"item": first.item_id, "retrieved": item.content[0].transcript, "status": item.status},
        "stopped": [stopped.status, stopped.status_details.reason],
        "errors": [],
    }


async def _written(client: Any) -> dict[str, Any]:
    """Without a microphone: the user writes, the client asks for a response."""
    log = Log()
    async with client.realtime.connect(model="relay", extra_query={"mode": "relay"}) as connection:
        reading = asyncio.create_task(_read(connection, log))
        words = [{"type": "input_text", "text": "Hello there."}]
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": words})
        await connection.response.create()
        done = (await log.first("response.done")).response
        reading.cancel()
    sources = [event.source for event in log.all("response.output_audio_transcript.delta")]
    audio = sum(len(base64.b64decode(event.delta)) for event in log.all("response.output_audio.delta"))
    return {
        "item": done.output[0].id,
        "text": done.output[0].content[0].transcript,
        "audio": audio,
        "status": done.status,
        "sources": sources,
        "errors": [event.error.message for event in log.all("error")],
    }


if __name__ == "__main__":
    run("openai", scenario)
