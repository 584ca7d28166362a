"""Asking a service many questions: side by side, again where it fails, never twice for what is already paid.

    question -> request -> kept? -> slot -> sent -> kept -> read -> (one repair) -> result

Every request is known by the hash of exactly what is sent. An answer is written down before it is used, a bad one too,
so a run that was killed replays question, bad answer and repair without paying for them again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from datagen.answers import Answers
from datagen.core.asking import Ask, Reply, Usage
from datagen.core.rng import key
from datagen.faults import BudgetReached
from datagen.llm._pace import Pace
from datagen.llm._reading import objection, unwrapped
from datagen.llm._service import Passing, Refused, Service, Unanswered

T = TypeVar("T")

BYTES_PER_TOKEN = 3
"""For the most that a prompt can cost: English has about four bytes per token, Chinese three per character."""
GIVEN_UP_IN_A_ROW = 3
"""So many questions given up for passing faults, with no answer between them, mean that the service is gone."""
REFUSED_AT_FIRST = 3
"""So many refused requests, with no answer ever, mean that the settings are wrong and not the questions."""


@dataclass(frozen=True)
class Request:
    """What is sent for a question."""

    key: str
    purpose: str
    body: dict[str, Any]
    most: Usage
    """No answer costs more tokens."""


class Line(Protocol):
    """An open connection to a service."""

    async def ahead(self, requests: Sequence[Request], answers: Answers) -> None:
        """May get answers in another way, and keep them, before any request is sent."""
        ...

    async def send(self, body: dict[str, Any]) -> Reply:
        """One request, once. Raises Passing, Unanswered, or OSError when the service cannot be used at all."""
        ...


class Wire(Protocol):
    """A provider's API."""

    def body(self, ask: Ask) -> dict[str, Any]:
        """The body of the request for a question."""
        ...

    def open(self) -> AbstractAsyncContextManager[Line]:
        """A connection for one event loop. Needs the key only when something is sent."""
        ...


def back_off(config: Service, request_key: str, attempt: int, fault: Passing) -> float:
    """Seconds to wait after a failed attempt (from 1): doubling from ``first_wait_s``, less up to a half, drawn from
    the request; at least what the server asks for, at most ``longest_wait_s``."""
    doubled = min(config.longest_wait_s, config.first_wait_s * 2.0 ** min(attempt - 1, 60))
    share = 0.5 + key(attempt, request_key, "wait") / 2**65
    return min(config.longest_wait_s, max(doubled * share, fault.wait_s))


class Asker:
    """A language model behind a wire (see ``datagen.kinds.LanguageModel``); safe in threads."""

    def __init__(self, config: Service, wire: Wire) -> None:
        self.config, self.wire = config, wire
        self.given_up = 0
        """Questions in a row, over all calls, that were given up for passing faults."""
        self.refused = 0
        """Refused requests before the first answer; a kept answer shows as well that the settings do."""
        self.proven = False

    def ask(self, asks: Sequence[Ask], read: Callable[[Ask, str], T], answers: Answers) -> list[T | ValueError]:
        """See ``LanguageModel.ask``. Whatever ends it, requests on their way are waited for and kept: they are paid.

        Raises ValueError before anything is sent when there is a budget and no price for the model.
        """
        with answers.paying(self.config.model, Usage()):
            pass
        return asyncio.run(_Call(self, answers).results(asks, read)) if asks else []


class _Call:
    """One call of ``Asker.ask``, inside its event loop."""

    def __init__(self, asker: Asker, answers: Answers) -> None:
        self._asker, self._config, self._answers = asker, asker.config, answers
        self._pace = Pace(asker.config.concurrency)
        self._one_by_one: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Per request: equal questions wait for the first one's answer."""
        self._sent: set[asyncio.Task[Reply]] = set()
        self._fatal: Exception | None = None
        """What ends the call; nothing is sent any more."""

    async def results(self, asks: Sequence[Ask], read: Callable[[Ask, str], T]) -> list[T | ValueError]:
        async with self._asker.wire.open() as line:
            await line.ahead([self._request(ask) for ask in asks], self._answers)
            tasks = [asyncio.create_task(self._result(line, n, ask, read)) for n, ask in enumerate(asks)]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.gather(*self._sent, return_exceptions=True)

    async def _result(self, line: Line, order: int, ask: Ask, read: Callable[[Ask, str], T]) -> T | ValueError:
        """What ``read`` makes of the answer, or of the answer to the one repair."""
        try:
            whole, reply = await self._whole(line, order, ask)
        except Unanswered as error:
            return error
        try:
            return read(ask, unwrapped(reply.text))
        except (ValueError, RecursionError) as error:
            said = (*ask.said_before, (reply.text, objection(error)))
        try:
            _, reply = await self._whole(line, order, whole.model_copy(update={"said_before": said}))
        except Unanswered as error:
            return ValueError(f"{error}; after one repair")
        try:
            return read(ask, unwrapped(reply.text))
        except (ValueError, RecursionError) as error:
            return ValueError(f"{objection(error)}; after one repair")

    async def _whole(self, line: Line, order: int, ask: Ask) -> tuple[Ask, Reply]:
        """A complete answer, with twice the room where the first was cut short, and the question as it was answered."""
        reply = await self._reply(line, order, ask)
        if reply.finish == "length":
            ask = ask.model_copy(update={"max_output_tokens": 2 * ask.max_output_tokens})
            reply = await self._reply(line, order, ask)
        if reply.finish == "length":
            raise Unanswered(f"the answer was cut short, even with room for {ask.max_output_tokens} tokens")
        if reply.finish != "stop" or not reply.text.strip():
            raise Unanswered(f"refused by the model ({'empty answer' if reply.finish == 'stop' else reply.finish})")
        return ask, reply

    async def _reply(self, line: Line, order: int, ask: Ask) -> Reply:
        request = self._request(ask)
        async with self._one_by_one[request.key]:
            reply = await asyncio.to_thread(self._answers.kept, request.key, request.purpose)
            if reply is None:
                reply = await self._fetched(line, order, request)
            self._asker.proven = True
            return reply

    async def _fetched(self, line: Line, order: int, request: Request) -> Reply:
        """The answer to a request, made again as long as faults may pass."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._pace.slot(order):
                    return await self._once(line, request)
            except Passing as fault:
                wait = back_off(self._config, request.key, attempt, fault)
                if fault.limited:
                    self._pace.limited(wait)
                if attempt == self._config.attempts:
                    raise self._end(fault) from None
            await asyncio.sleep(wait)

    async def _once(self, line: Line, request: Request) -> Reply:
        if self._fatal is not None:
            raise self._fatal
        sent = asyncio.create_task(self._sent_and_kept(line, request))
        self._sent.add(sent)
        sent.add_done_callback(self._sent.discard)
        try:
            reply = await asyncio.shield(sent)
        except (OSError, BudgetReached) as error:
            self._fatal = error
            raise
        except Refused as error:
            self._asker.refused += 1
            if self._asker.proven or self._asker.refused < REFUSED_AT_FIRST:
                raise
            self._fatal = OSError(f"{self._config.kind}: {error}, and so it did all others; check model and settings")
            raise self._fatal from None
        self._pace.answered()
        self._asker.given_up = 0
        return reply

    async def _sent_and_kept(self, line: Line, request: Request) -> Reply:
        """Nothing cancels this: what is on its way is paid."""
        with self._answers.paying(self._config.model, request.most):
            try:
                async with asyncio.timeout(self._config.timeout_s):
                    reply = await line.send(request.body)
            except TimeoutError:
                raise Passing(f"no answer within {self._config.timeout_s:g} s") from None
            await asyncio.to_thread(self._answers.keep, request.key, request.purpose, reply)
        return reply

    def _end(self, fault: Passing) -> Exception:
        """What it means that the last attempt failed too: this question's failure, or the service's."""
        self._asker.given_up += 1
        told = f"{self._config.attempts} attempts failed, the last one with: {fault}"
        if fault.reached and self._asker.given_up < GIVEN_UP_IN_A_ROW:
            return Unanswered(told)
        self._fatal = OSError(f"{self._config.kind}: the service cannot be used: {told}")
        return self._fatal

    def _request(self, ask: Ask) -> Request:
        body = self._asker.wire.body(ask)
        whole = {"kind": self._config.kind, "model": self._config.model, "seed": ask.seed, "body": body}
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
        prompt = len(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1
        most = Usage(prompt_tokens=prompt, output_tokens=ask.max_output_tokens + self._config.thinking_room)
        return Request(hashlib.sha256(text.encode()).hexdigest(), ask.purpose, body, most)
