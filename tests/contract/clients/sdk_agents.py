"""The OpenAI Agents SDK for Python (package openai-agents): its session truncates and retrieves by itself."""
# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
from typing import Any

from tests.contract.clients.common import HEARD_S, Log, Microphone, address, run


async def scenario() -> dict[str, Any]:
    """A turn and a barge-in; what the SDK's history holds afterwards."""
    from agents.realtime import RealtimeAgent, RealtimeRunner

    log = Log()
    runner = RealtimeRunner(RealtimeAgent(name="relay", instructions="be kind"))
    async with await runner.run(model_config={"api_key": "none", "url": f"{address()}/realtime"}) as session:
        reading = asyncio.create_task(_read(session, log))
        async with Microphone(session.send_audio).open() as microphone:
            report = await _spoken(log, microphone)
            report["written"] = await _written(session, log)
        reading.cancel()
    report["errors"] = [str(event.error) for event in log.all("error")]
    return report


async def _read(session: Any, log: Log) -> None:
    async for event in session:
        raw = event.data if event.type == "raw_model_event" else None
        if raw is not None and raw.type == "raw_server_event":
            log.add(f"server {raw.data['type']}", raw.data)
        elif raw is None:
            log.add(event.type, event)


async def _spoken(log: Log, microphone: Microphone) -> dict[str, Any]:
    await microphone.say("turn")
    item = (await log.first("server response.done"))["response"]["output"][0]["id"]
    audio = sum(len(event.audio.data) for event in log.all("audio"))
    turn = {"item": item, "text": await _remembered(log, item), "audio": audio}
    place = len(log)
    await microphone.say("turn")
    second = (await log.first("audio", place)).item_id
    await asyncio.sleep(HEARD_S)
    place = len(log)
    saying = asyncio.create_task(microphone.say("barge"))
    await log.first("audio_interrupted", place)
    await log.first("server conversation.item.truncated", place)
    await log.first("server conversation.item.retrieved", place, lambda event: event["item"]["id"] == second)
    await saying
    await log.first("audio", place, lambda event: event.item_id not in (item, second))
    return {"turn": turn, "barge_in": {"item": second, "retrieved": await _remembered(log, second)}}


async def _written(session: Any, log: Log) -> dict[str, Any]:
    """The client stops the answer to the barge-in, and writes."""
    place = len(log)
    await session.interrupt()
    stopped = (await log.first("server response.done", place))["response"]
    place = len(log)
    await session.send_message("Hello there.")
    item = (await log.first("server response.done", place))["response"]["output"][0]["id"]
    return {"item": item, "text": await _remembered(log, item), "stopped": stopped["status"]}


async def _remembered(log: Log, item: str) -> str:
    """The words of an item in the SDK's own history, at its end."""
    await asyncio.sleep(0.2)
    history = (log.all("history_updated") or log.all("history_added"))[-1].history
    return next(" ".join(part.transcript or "" for part in one.content) for one in history if one.item_id == item)


if __name__ == "__main__":
    run("openai-agents", scenario)
