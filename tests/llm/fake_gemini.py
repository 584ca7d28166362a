"""Gemini's REST interface on a local server: generateContent, batch jobs and the files they need.

What it says is a function of the request; see ``Talk``. Requests without the right key are refused as Google does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from datagen.llm import gemini
from datagen.llm._asking import Asker
from tests.llm.questions import KEY, right
from tests.llm.serving import Response, Seen, Server

MODEL = "gemini-test"
Talk = Callable[[dict[str, Any], int], Response]
"""The answer to a request's body that has come for the nth time."""


def said(text: str, finish: str = "STOP", **usage: int) -> Response:
    """A 200 with a candidate."""
    counts = {"promptTokenCount": 100, "candidatesTokenCount": 10, "thoughtsTokenCount": 5} | usage
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish, "index": 0}
    return Response({"candidates": [candidate], "usageMetadata": counts, "modelVersion": f"{MODEL}-001"})


def blocked(reason: str = "SAFETY") -> Response:
    """A 200 for a prompt that was blocked."""
    return Response({"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 100}})


def error(status: int, name: str, message: str = "so it is", **details: Any) -> Response:
    """An error as Google spells it."""
    found = [{"@type": f"type.googleapis.com/google.rpc.{kind}", **values} for kind, values in details.items()]
    return Response({"error": {"code": status, "status": name, "message": message, "details": found}}, status)


def too_many(delay: str) -> Response:
    """A 429 with the time to wait, as a protobuf duration."""
    return error(429, "RESOURCE_EXHAUSTED", "Quota exceeded", RetryInfo={"retryDelay": delay})


def prompt_of(body: dict[str, Any]) -> str:
    """The question in a request, without what was said before."""
    return body["contents"][0]["parts"][0]["text"]


def number(body: dict[str, Any]) -> int:
    """The number a request asks for."""
    return int(prompt_of(body).split()[-1])


def agree(body: dict[str, Any], nth: int) -> Response:
    """Always the right answer."""
    return said(right(prompt_of(body)))


class Gemini(Server):
    """The fake. Batch jobs stay pending until ``finish`` is called; ``state`` is what they end as."""

    def __init__(self, talk: Talk = agree, key: str = KEY) -> None:
        super().__init__(self._respond)
        self.talk, self.key = talk, key
        self.jobs: dict[str, dict[str, Any]] = {}
        self.state = "BATCH_STATE_SUCCEEDED"
        self.inline = False
        """Whether jobs are answered inline, although they came as a file."""
        self.lose_created = 0
        """So many jobs are made whose maker gets no answer."""
        self._files: dict[str, bytes] = {}
        self._finished = threading.Event()

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Bodies of all requests for an answer, in order."""
        return [s.json for s in self.seen if ":generateContent" in s.path]

    def finish(self) -> None:
        """Lets all batch jobs end."""
        self._finished.set()

    def _respond(self, seen: Seen) -> Response:
        if "/upload-here/" in seen.path:
            return self._uploaded(seen)
        if seen.headers.get("x-goog-api-key") != self.key:
            message = f"API key not valid: {seen.headers.get('x-goog-api-key')}"
            return error(400, "INVALID_ARGUMENT", message, ErrorInfo={"reason": "API_KEY_INVALID"})
        if ":generateContent" in seen.path:
            return self.talk(seen.json, seen.nth)
        if ":batchGenerateContent" in seen.path:
            return self._create(seen)
        if seen.path.startswith("/upload/"):
            name = f"files/in-{len(self._files)}"
            self._files[name] = b""
            return Response({}, headers={"X-Goog-Upload-URL": f"{self.url}/upload-here/{name}"})
        if "/batches" in seen.path:
            return self._job(seen)
        if ":download" in seen.path:
            return Response(self._files[f"files/{seen.path.split('/files/')[1].split(':')[0]}"])
        return error(404, "NOT_FOUND")

    def _uploaded(self, seen: Seen) -> Response:
        name = seen.path.split("/upload-here/")[1]
        self._files[name] = seen.content
        return Response({"file": {"name": name}}, headers={"X-Goog-Upload-Status": "final"})

    def _create(self, seen: Seen) -> Response:
        batch = seen.json["batch"]
        name = f"batches/job-{len(self.jobs)}"
        self.jobs[name] = {"title": batch["displayName"], "file": batch["inputConfig"]["fileName"]}
        if self.lose_created:
            self.lose_created -= 1
            return Response(failure="drop")
        return Response(self._described(name))

    def _job(self, seen: Seen) -> Response:
        name = seen.path.split("?")[0].split("/", 2)[2]
        if name == "batches":
            return Response({"operations": [self._described(job) for job in self.jobs]})
        return Response(self._described(name)) if name in self.jobs else error(404, "NOT_FOUND")

    def _described(self, name: str) -> dict[str, Any]:
        done = self._finished.is_set()
        metadata = {
            "displayName": self.jobs[name]["title"],
            "state": self.state if done else "BATCH_STATE_RUNNING",
            "model": f"models/{MODEL}",
        }
        if done and "SUCCEEDED" in self.state:
            metadata["output"] = self._output(name)
        return {"name": name, "metadata": metadata, "done": done}

    def _output(self, name: str) -> dict[str, Any]:
        lines: list[dict[str, Any]] = []
        for line in self._files[self.jobs[name]["file"]].splitlines():
            request = json.loads(line)
            response = self.talk(request["request"], 1)
            ok = response.status == 200 and not response.failure
            result = {"response": response.content} if ok else {"error": {"code": 13, "message": "internal"}}
            lines.insert(0, {"key": request["key"], **result})
        if self.inline:
            inline = [{"metadata": {"key": line.pop("key")}, **line} for line in lines]
            return {"inlinedResponses": {"inlinedResponses": inline}}
        out = f"files/out-{name.split('/')[1]}"
        self._files[out] = "\n".join(map(json.dumps, lines)).encode()
        return {"responsesFile": out}


def model(at: Server | str, **changes: Any) -> Asker:
    """The real backend, set to a fake (or its address) and to little patience."""
    settings: dict[str, Any] = {"first_wait_s": 0.01, "longest_wait_s": 0.02, "timeout_s": 5, "thinking_room": 0}
    settings |= changes
    return gemini.make(gemini.Config(model=MODEL, base_url=at if isinstance(at, str) else at.url, **settings))
