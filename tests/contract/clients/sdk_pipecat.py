"""Pipecat (package pipecat-ai): its OpenAI Realtime service in a pipeline, without a transport; it truncates itself."""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false

from __future__ import annotations

import asyncio
from typing import Any

from tests.contract.clients.common import HEARD_S, RATE, Log, Microphone, address, run


async def scenario() -> dict[str, Any]:
    """A turn and a barge-in; retrieved by the service's own call."""
    from pipecat.frames.frames import InputAudioRawFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.runner import PipelineRunner
    from pipecat.pipeline.task import PipelineTask
    from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

    log = Log()
    service = OpenAIRealtimeLLMService(api_key="none", base_url=f"{address()}/realtime")

    @service.event_handler("on_conversation_item_updated")
    async def _(_service: Any, id: str, item: Any) -> None:
        log.add("item", (id, item))

    task = PipelineTask(Pipeline([service, _listener(log)]))
    running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))

    async def send(pcm: bytes) -> None:
        await task.queue_frame(InputAudioRawFrame(audio=pcm, sample_rate=RATE, num_channels=1))

    async with Microphone(send).open() as microphone:
        report = await _spoken(service, log, microphone)
        report["written"] = await _written(task, log)
    await task.cancel()
    await running
    report["errors"] = [frame.error for frame in log.all("error")]
    return report


def _listener(log: Log) -> Any:
    """The end of the pipeline: notes the frames that come."""
    from pipecat.frames.frames import ErrorFrame
    from pipecat.processors.frame_processor import FrameProcessor

    class Listener(FrameProcessor):
        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            log.add("error" if isinstance(frame, ErrorFrame) else type(frame).__name__, frame)
            await self.push_frame(frame, direction)

    return Listener()


async def _spoken(service: Any, log: Log, microphone: Microphone) -> dict[str, Any]:
    await microphone.say("turn")
    await log.first("TTSStoppedFrame")
    item = log.all("item")[-1][1]
    audio = sum(len(frame.audio) for frame in log.all("TTSAudioRawFrame"))
    words = "".join(frame.text for frame in log.all("TTSTextFrame"))
    turn = {"item": item.id, "text": item.content[0].transcript, "audio": audio}
    place = len(log)
    await microphone.say("turn")
    await log.first("TTSAudioRawFrame", place)
    await asyncio.sleep(HEARD_S)
    place = len(log)
    saying = asyncio.create_task(microphone.say("barge"))
    second, _ = await log.first("item", place, lambda one: one[1].role == "assistant")
    place = len(log)
    retrieved = await service.retrieve_conversation_item(second)
    await saying
    await log.first("TTSAudioRawFrame", place)
    return {
        "turn": turn,
        "barge_in": {"item": second, "retrieved": retrieved.content[0].transcript},
        "text_frames": words,
    }


async def _written(task: Any, log: Log) -> dict[str, Any]:
    """The answer to the barge-in is heard to its end; then the pipeline has a context to be answered."""
    from pipecat.frames.frames import LLMContextFrame
    from pipecat.processors.aggregators.llm_context import LLMContext

    place = len(log)
    await log.first("TTSStoppedFrame", place)
    place = len(log)
    await task.queue_frame(LLMContextFrame(LLMContext([{"role": "user", "content": "Hello there."}])))
    await log.first("TTSStoppedFrame", place)
    item = [item for _, item in log.all("item", place) if item.role == "assistant"][-1]
    return {"item": item.id, "text": item.content[0].transcript}


if __name__ == "__main__":
    run("pipecat-ai", scenario)
