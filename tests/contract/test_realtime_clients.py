"""Stock clients, unmodified, against the server with real sessions: a turn, a barge-in, and what was heard of it.

Their packages live in an environment of their own (``make clients``); a client that is not installed is skipped.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.realtime_server import AGAIN, CLIENTS, ENVIRONMENT, Stage, played, realtime, speech, staged
from tests.runtime.certificates import self_signed
from trainer.runtime.relaying import Relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PYTHON = {
    "sdk_openai": "openai",
    "sdk_agents": "agents",
    "sdk_pipecat": "pipecat",
    "sdk_livekit": "livekit/plugins/openai",
}
"""Script, and the package that it needs."""
LEAST_AUDIO = 2 * 24_000 * 2
"""Bytes of two seconds: the answer takes over four."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Relay]:
    made = realtime()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speech(tmp_path_factory.mktemp("user"))


def python(script: str, package: str) -> list[str]:
    """The command of a Python client; skips where it is not installed."""
    interpreter = ENVIRONMENT / "py" / "bin" / "python"
    if not list((ENVIRONMENT / "py" / "lib").glob(f"python3*/site-packages/{package}")):
        pytest.skip(f"{package} is not installed in {ENVIRONMENT}; run `make clients`")
    return [str(interpreter), "-m", f"tests.contract.clients.{script}"]


def node(script: str, package: str) -> list[str]:
    """The command of a JavaScript client; skips where it is not installed."""
    found = shutil.which("node")
    if found is None or not (ENVIRONMENT / "node" / "node_modules" / package).is_dir():
        pytest.skip(f"node or {package} is not installed in {ENVIRONMENT}; run `make clients`")
    return [found, str(CLIENTS / f"{script}.mjs")]


def checked(report: dict[str, Any], stage: Stage) -> None:
    """A whole turn was heard and seen; of the interrupted one everybody holds the words heard, and those alone."""
    print(report["client"], report["barge_in"])
    assert report["errors"] == []
    turn, barge_in = report["turn"], report["barge_in"]
    session = stage.sessions[0]
    items = session.session.items
    assert (turn["text"], session.text(turn["item"])) == (AGAIN, AGAIN)
    assert turn["audio"] >= LEAST_AUDIO
    heard = barge_in["retrieved"]
    assert heard == session.text(barge_in["item"])
    assert [*AGAIN.split()[: len(heard.split())]] == heard.split()
    assert 0 < len(heard) < len(AGAIN)
    cuts = [cut for cut in session.cuts if cut.item == barge_in["item"]]
    assert [cut.heard for cut in cuts] == [heard], "the client has truncated it, once, to these words"
    assert 0 < cuts[0].ms < 6_000
    written = report["written"]
    assert (written["text"], session.text(written["item"])) == (AGAIN, AGAIN), "and the conversation went on"
    assert written.get("stopped", "cancelled") == "cancelled"
    assert [item.speaker for item in items][:6] == ["user", "assistant"] * 3
    assert items[-1].id == written["item"]
    if "stopped" in barge_in:
        status, why, server_heard = barge_in["stopped"]
        assert (status, why) == ("cancelled", "turn_detected")
        assert server_heard.startswith(heard)
        assert server_heard != heard, "the client heard less than the server thought"


@pytest.mark.parametrize("script", PYTHON)
def test_python(script: str, shared: Relay, user: Path) -> None:
    async def talk() -> None:
        async with staged(shared) as stage:
            report = await played([*python(script, PYTHON[script]), stage.address, str(user)])
            checked(report, stage)
            if "relay" in report:
                relayed(report["relay"], stage)

    asyncio.run(talk())


def relayed(report: dict[str, Any], stage: Stage) -> None:
    """In mode relay the answer has both paths' words, and the items that the client brought keep their names."""
    session = stage.sessions[1]
    assert (session.session.mode, report["status"], report["errors"]) == ("relay", "completed", [])
    assert report["item"] not in report["brought"]
    assert report["text"] == session.text(report["item"])
    assert report["text"].endswith(AGAIN)
    assert report["sources"] == ["fast"] * report["sources"].count("fast") + ["slow"] * len(AGAIN.split())
    assert "fast" in report["sources"]
    assert report["audio"] >= LEAST_AUDIO
    assert report["metadata"]["mode"] == "relay"
    for pushed in report["pushed"]:
        assert pushed["text"] == session.text(pushed["item"])
        assert pushed["text"].endswith(AGAIN)
    said = [item.speaker for item in session.session.items[len(report["brought"]) :]]
    assert said == ["user", "assistant"] * 3, "a written turn, and two that were pushed"


def test_agents_for_javascript(shared: Relay, user: Path) -> None:
    async def talk() -> None:
        command = node("agents_realtime", "@openai/agents-realtime")
        async with staged(shared) as stage:
            report = await played([*command, stage.address, str(user)])
            checked(report, stage)
            assert report["roles"] == ["user", "assistant"] * 4

    asyncio.run(talk())


def test_openai_for_javascript_speaks_tls_alone(shared: Relay, user: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)

    async def talk() -> None:
        command = node("openai_node", "openai")
        async with staged(shared, certificate=str(certificate), key=str(key)) as stage:
            report = await played([*command, stage.address, str(user)], NODE_EXTRA_CA_CERTS=str(certificate))
            checked(report, stage)

    asyncio.run(talk())
