"""Gemini's batch jobs: a task's requests as one JSONL file, answered within a day at half the price.

The requests go up as a file, never inline: only a file's lines have a key that comes back with the answer; inline
answers have come back out of order and without their metadata (github.com/googleapis/python-genai/issues/1909, 2008).
Small jobs may be answered inline all the same, so both are read.

The name of the job is written down beside the answers, under the hash of the task's requests: a run that was killed
finds its job again and makes no second one.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from datagen.answers import Answers
from datagen.core.asking import Reply, Usage
from datagen.llm._asking import Request, back_off
from datagen.llm._service import Passing, Service, Unanswered

T = TypeVar("T")

LOG = logging.getLogger(__name__)
SUCCESS = ("JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED")


class Connection(Protocol):
    """See ``gemini.Connection``."""

    def client(self) -> Any: ...
    def faults(self) -> AbstractContextManager[None]: ...
    def reply(self, response: dict[str, Any]) -> Reply: ...


async def collect(
    connection: Connection, config: Service, poll_s: float, requests: Sequence[Request], answers: Answers
) -> None:
    """Keeps what a batch job answers. What it does not answer is left to be asked one by one.

    Raises BudgetReached before a job is made, OSError when the service cannot be used.
    """
    job = _Job(connection, config, poll_s, requests, answers)
    missing = await job.missing()
    if missing:
        await job.run(missing)


class _Job:
    """One task's job and the document that names it: {"title", "job"}, where job is null while it is being made."""

    def __init__(
        self, connection: Connection, config: Service, poll_s: float, requests: Sequence[Request], answers: Answers
    ) -> None:
        self._connection, self._config, self._poll_s, self._answers = connection, config, poll_s, answers
        self._requests = {request.key: request for request in requests}
        self._title = f"duplexkit-{hashlib.sha256(' '.join(sorted(self._requests)).encode()).hexdigest()[:32]}"
        self._document = f"batches/{self._title}.json"

    async def missing(self) -> list[Request]:
        """Requests without a kept answer."""

        def look() -> list[Request]:
            return [r for r in self._requests.values() if self._answers.kept(r.key, r.purpose) is None]

        return await asyncio.to_thread(look)

    async def run(self, missing: Sequence[Request]) -> None:
        """Finds the job or makes it, waits for its end, and keeps the answers."""
        known = self._answers.document(self._document)
        if known is None or known.get("job") is None:
            most = Usage(
                prompt_tokens=sum(r.most.prompt_tokens for r in missing),
                output_tokens=sum(r.most.output_tokens for r in missing),
            )
            with self._answers.paying(self._config.model, most, batch=True):
                self._answers.write_document(self._document, {"title": self._title, "job": None})
                name = await self._made(missing, perhaps_made=known is not None)
                self._answers.write_document(self._document, {"title": self._title, "job": name})
                await self._gathered(name)
        else:
            await self._gathered(str(known["job"]))

    async def _made(self, missing: Sequence[Request], perhaps_made: bool) -> str:
        """The job's name. Whenever it may have been made unnoticed, it is looked for first."""
        lines = (json.dumps({"key": r.key, "request": r.body}) for r in missing)
        content = "\n".join(lines).encode()
        tried = perhaps_made

        async def make() -> str:
            nonlocal tried
            if tried and (found := await self._found()):
                return found
            tried = True
            client = self._connection.client()
            file = await client.files.upload(
                file=io.BytesIO(content), config={"mime_type": "application/jsonl", "display_name": self._title}
            )
            job = await client.batches.create(
                model=self._config.model, src=file.name, config={"display_name": self._title}
            )
            return str(job.name)

        return await self._persistently(make)

    async def _found(self) -> str:
        """The name of a job that was made under this title and has not failed; "" when there is none."""
        async for job in await self._connection.client().batches.list(config={"page_size": 100}):
            if job.display_name == self._title and (not job.done or _state(job) in SUCCESS):
                return str(job.name)
        return ""

    async def _gathered(self, name: str) -> None:
        """Waits for a job's end and keeps its answers."""
        try:
            job = await self._ended(name)
            responses = await self._persistently(lambda: self._responses(job))
        except FileNotFoundError as error:
            LOG.warning("batch job %s: %s is gone; what is missing is asked one by one", name, error)
            return
        if _state(job) not in SUCCESS:
            LOG.warning("batch job %s ended as %s; what is missing is asked one by one", name, _state(job))
        for key, response in responses:
            if key in self._requests:
                reply = self._connection.reply(response)
                await asyncio.to_thread(self._answers.keep, key, self._requests[key].purpose, reply, True)

    async def _ended(self, name: str) -> Any:
        while True:
            job = await self._persistently(lambda: _there(name, self._connection.client().batches.get(name=name)))
            if job.done:
                return job
            await asyncio.sleep(self._poll_s)

    async def _responses(self, job: Any) -> list[tuple[str, dict[str, Any]]]:
        """Key and response of every answered request. Raises FileNotFoundError when the file has been deleted."""
        if job.dest is None:
            return []
        if name := job.dest.file_name:
            content = await _there(name, self._connection.client().files.download(file=name))
            return list(_answered(json.loads(line) for line in content.splitlines() if line.strip()))
        return list(_answered(as_sent(response) for response in job.dest.inlined_responses or ()))

    async def _persistently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Calls again as long as faults may pass; OSError after the last attempt."""
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._connection.faults():
                    return await call()
            except Passing as fault:
                if attempt == self._config.attempts:
                    raise OSError(f"{self._config.kind}: the batch service cannot be used: {fault}") from None
                wait = back_off(self._config, self._title, attempt, fault)
            except Unanswered as refused:
                told = f"{self._config.kind}: no batch job: {refused}; with batch: false questions are asked one by one"
                raise OSError(told) from None
            await asyncio.sleep(wait)


def as_sent(thing: Any) -> dict[str, Any]:
    """An object of the client as it came over the line."""
    return thing.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False)


def _state(job: Any) -> str:
    return str(job.state.value) if job.state else "unknown"


async def _there(name: str, call: Awaitable[T]) -> T:
    """The result of a call; FileNotFoundError when the service knows no such thing (any more)."""
    from google.genai import errors

    try:
        return await call
    except errors.APIError as error:
        if error.code == 404:
            raise FileNotFoundError(name) from None
        raise


def _answered(lines: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in lines:
        key = line.get("key") or (line.get("metadata") or {}).get("key")
        if key and line.get("response"):
            yield str(key), line["response"]
