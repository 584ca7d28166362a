"""LiveKit Agents' plugin for OpenAI (package livekit-plugins-openai): a realtime session without a room."""
# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.contract.clients.common import HEARD_S, RATE, Log, Microphone, address, run


async def scenario() -> dict[str, Any]:
    """A turn and a barge-in. Interruption and truncation as LiveKit's AgentSession asks for them."""
    import aiohttp
    from livekit import rtc
    from livekit.plugins.openai.realtime import RealtimeModel

    log = Log()
    async with aiohttp.ClientSession() as http:
        model = RealtimeModel(base_url=address(), api_key="none", model="relay", http_session=http)
        session = model.session()
        streams: set[asyncio.Task[None]] = set()

        def generation(event: Any) -> None:
            streams.add(asyncio.create_task(_generation(event, log)))

        session.on("generation_created", generation)
        session.on("input_speech_started", lambda event: log.add("speech started", event))
        session.on("openai_server_event_received", lambda event: log.add(f"server {event['type']}", event))
        session.on("error", lambda event: log.add("error", event))

        async def send(pcm: bytes) -> None:
            session.push_audio(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))

        async with Microphone(send).open() as microphone:
            report = await _spoken(session, log, microphone)
            report["written"] = await _asked(session, log)
        await session.aclose()
        for stream in streams:
            stream.cancel()
    report["errors"] = [str(event.error) for event in log.all("error")]
    return report


async def _generation(event: Any, log: Log) -> None:
    async for message in event.message_stream:
        log.add("message", message)
        await asyncio.gather(_words(message, log), _sound(message, log))
        log.add("message over", message.message_id)


async def _words(message: Any, log: Log) -> None:
    async for text in message.text_stream:
        log.add(f"text {message.message_id}", text)


async def _sound(message: Any, log: Log) -> None:
    async for frame in message.audio_stream:
        log.add(f"audio {message.message_id}", frame)


async def _spoken(session: Any, log: Log, microphone: Microphone) -> dict[str, Any]:
    await microphone.say("turn")
    item = await log.first("message over")
    audio = sum(len(frame.data.tobytes()) for frame in log.all(f"audio {item}"))
    words = log.all(f"text {item}")
    turn = {"item": item, "text": "".join(words), "audio": audio}
    timed = sum(getattr(word, "start_time", None) is not None for word in words)
    place = len(log)
    await microphone.say("turn")
    second = (await log.first("message", place)).message_id
    await log.first(f"audio {second}")
    began = time.monotonic()
    await asyncio.sleep(HEARD_S)
    place = len(log)
    saying = asyncio.create_task(microphone.say("barge"))
    await log.first("speech started", place)
    heard_ms = round(1000 * (time.monotonic() - began))
    session.interrupt()
    session.truncate(message_id=second, modalities=["audio"], audio_end_ms=heard_ms)
    await log.first("server conversation.item.truncated", place)
    session.send_event({"type": "conversation.item.retrieve", "item_id": second})
    retrieved = (await log.first("server conversation.item.retrieved", place))["item"]["content"][0]["transcript"]
    await saying
    third = (await log.first("message", place)).message_id
    await log.first(f"audio {third}")
    known = [one.id for one in session.chat_ctx.items]
    return {
        "turn": turn,
        "barge_in": {"item": second, "retrieved": retrieved},
        "timed_words": [timed, len(words)],
        "known": [item in known, second in known, third in known],
    }


async def _asked(session: Any, log: Log) -> dict[str, Any]:
    """The client stops the answer to the barge-in, and asks for a reply."""
    place = len(log)
    session.interrupt()
    stopped = (await log.first("server response.done", place))["response"]
    place = len(log)
    event = await session.generate_reply(instructions="be brief")
    item = (await log.first("server response.done", place))["response"]["output"][0]["id"]
    await log.first("message over", place, lambda id: id == item)
    text = "".join(log.all(f"text {item}"))
    return {"item": item, "text": text, "stopped": stopped["status"], "own": event.user_initiated}


if __name__ == "__main__":
    run("livekit-plugins-openai", scenario)
