"""The fake of Gemini as a process of its own, with faults in a fifth of its answers.

``python -m tests.llm.faulty_gemini`` prints its address. GET /stats tells what it was asked and what it
delivered, by the key of the request.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from datagen.core.rng import key as draw
from tests.llm.fake_gemini import MODEL, Gemini, agree, error, said, too_many
from tests.llm.serving import Response, Seen

FAULTS = ("429", "500", "hang", "truncation", "bad JSON", "wrong index")
FAULTY = 0.2
"""Of all requests, each kind of fault as often as the others."""
LATENCY_S = (0.3, 0.9)
"""Of an answer, drawn evenly."""
QUICK_S = 0.02
"""Of a refusal."""


def key_of(body: dict[str, Any]) -> str:
    """The name under which the answer to a request is kept: Google's client sends the body as it was hashed."""
    whole = {"kind": "gemini", "model": MODEL, "seed": body["generationConfig"]["seed"], "body": body}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def share(body: dict[str, Any], nth: int, what: str) -> float:
    """A number from 0 to 1 that depends on the request and on how often it has come."""
    return draw(nth, key_of(body), what) / 2**64


def fault_of(body: dict[str, Any], nth: int) -> str:
    """The fault that a request meets; "" for none."""
    drawn = share(body, nth, "fault")
    return FAULTS[int(drawn / FAULTY * len(FAULTS))] if drawn < FAULTY else ""


def talk(body: dict[str, Any], nth: int) -> Response:
    """What the server says."""
    fault = fault_of(body, nth)
    if fault == "429":
        return Response(too_many("0.5s").content, 429, after_s=QUICK_S)
    if fault == "500":
        return Response(error(500, "INTERNAL").content, 500, after_s=QUICK_S)
    if fault == "hang":
        return Response(failure="hang")
    after_s = LATENCY_S[0] + share(body, nth, "latency") * (LATENCY_S[1] - LATENCY_S[0])
    texts = {"truncation": '{"index": ', "bad JSON": "index = 1", "wrong index": '{"index": -1, "word": "no"}'}
    answer = agree(body, nth) if not fault else said(texts[fault], "MAX_TOKENS" if fault == "truncation" else "STOP")
    return Response(answer.content, after_s=after_s)


class Faulty(Gemini):
    """The fake with its faults, and a page that tells of them."""

    def __init__(self) -> None:
        super().__init__(talk)

    def _respond(self, seen: Seen) -> Response:
        return Response(self._stats()) if seen.path == "/stats" else super()._respond(seen)

    def _stats(self) -> dict[str, Any]:
        with self._lock:
            asked = [s for s in self.seen if ":generateContent" in s.path]
            delivered = list(self.delivered)
        keys = {s.digest: key_of(s.json) for s in asked}
        faults = [fault_of(s.json, s.nth) for s in asked]
        return {
            "requests": len(asked),
            "faults": {name: faults.count(name) for name in FAULTS},
            "delivered": [keys[digest] for digest in delivered if digest in keys],
            "busiest": self.busiest,
        }


def main() -> None:
    """Serves until its standard input ends."""
    with Faulty() as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
