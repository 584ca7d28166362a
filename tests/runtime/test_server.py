"""The server as clients see it: a stock SDK, who may connect, the plain pages."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.runtime.scripted_session import ANSWER, Studio, speech
from tests.runtime.serving import address, alive, event, send, serving, settled, speak, talking, until
from trainer.runtime.server.app import Options, Running, serve
from trainer.runtime.server.wire import packed, unpacked


def run(work: Coroutine[Any, Any, None]) -> None:
    """Do it in a loop of its own."""
    asyncio.run(work)


async def fetched(running: Running, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, type and text of a plain GET."""

    def get() -> tuple[int, str, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{running.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()

    return await asyncio.to_thread(get)


async def refused(running: Running, **options: Any) -> int:
    """The HTTP status of a handshake that fails."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(address(running), **options)
    return caught.value.response.status_code


async def received(connection: AsyncRealtimeConnection, type: str) -> list[Any]:
    """The SDK's events up to the first of a type."""
    events: list[Any] = []
    async with asyncio.timeout(5):
        while not events or events[-1].type != type:
            events.append(await connection.recv())
    return events


def test_openai_python_holds_a_conversation() -> None:
    """A turn, a barge-in with truncate, and a retrieve that returns the words heard."""

    async def work() -> None:
        studio = Studio(pace=4)
        async with serving(studio) as running:
            client = AsyncOpenAI(api_key="none", base_url=f"http://127.0.0.1:{running.port}/v1")
            async with client.realtime.connect(model="any") as connection:
                created = await connection.recv()
                assert created.type == "session.created"
                await connection.session.update(session={"type": "realtime", "instructions": "be kind"})
                await connection.input_audio_buffer.append(audio=packed(speech(0.4) + speech(0.3, level=0)))
                events = await received(connection, "response.done")
                text = "".join(e.delta for e in events if e.type == "response.output_audio_transcript.delta")
                assert text == " ".join(ANSWER)
                audio = b"".join(unpacked(e.delta) for e in events if e.type == "response.output_audio.delta")
                assert len(audio) == len(ANSWER) * 4_800 * 2
                assert events[-1].response.status == "completed"
                assert events[-1].response.metadata["onset_ms"] == "81"

                await connection.input_audio_buffer.append(audio=packed(speech(0.4) + speech(0.3, level=0)))
                for _ in range(3):
                    events = await received(connection, "response.output_audio_transcript.delta")
                item = events[-1].item_id
                await connection.input_audio_buffer.append(audio=packed(speech(0.3)))
                events = await received(connection, "response.done")
                order = [e.type for e in events]
                assert order.index("input_audio_buffer.speech_started") < order.index("response.output_audio.done")
                assert events[-1].response.status_details.reason == "turn_detected"
                heard = events[-1].response.output[0].content[0].transcript
                assert heard
                assert " ".join(ANSWER).startswith(heard)
                await connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=350)
                assert (await received(connection, "conversation.item.truncated"))[-1].audio_end_ms == 350
                await connection.conversation.item.retrieve(item_id=item)
                shown = (await received(connection, "conversation.item.retrieved"))[-1].item
                assert shown.content[0].transcript == "Sure I"
                assert studio.sessions[0].history()[-1] == ("assistant", "Sure I")
                assert studio.sessions[0].settings.instructions == "be kind"
            await settled(lambda: studio.sessions[0].closed, "the session is closed with its connection")

    run(work())


def test_openai_python_asks_writes_and_cancels() -> None:
    async def work() -> None:
        studio = Studio(pace=4)
        async with serving(studio) as running:
            client = AsyncOpenAI(api_key="none", base_url=f"http://127.0.0.1:{running.port}/v1")
            async with client.realtime.connect(model="any") as connection:
                await connection.conversation.item.create(
                    item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
                )
                await received(connection, "conversation.item.done")
                await connection.response.create(response={"instructions": "greet", "metadata": {"topic": "hi"}})
                created = (await received(connection, "response.created"))[-1].response
                assert created.metadata == {"topic": "hi"}
                await received(connection, "response.output_audio.delta")
                await connection.response.cancel()
                done = (await received(connection, "response.done"))[-1].response
                assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
                await connection.response.cancel()
                error = (await received(connection, "error"))[-1].error
                assert error.code == "response_cancel_not_active"
            assert studio.sessions[0].log == ["request greet", "cancel"]
            assert studio.sessions[0].history()[0] == ("user", "hello")

    run(work())


def test_telephony() -> None:
    async def work() -> None:
        async with serving() as running, talking(running) as socket:
            pcmu = {"format": {"type": "audio/pcmu"}}
            await send(socket, "session.update", session={"audio": {"input": pcmu, "output": pcmu}})
            await until(socket, "session.updated")
            loud, silent = bytes([0x80, 0x00] * 1_600), bytes([0xFF] * 2_400)  # the loudest codes, then zeros
            tone = b"".join(bytes([0x90]) * 20 + bytes([0x10]) * 20 for _ in range(80))
            assert len(tone) == len(loud)
            await send(socket, "input_audio_buffer.append", audio=packed(tone + silent))
            events = await until(socket, "response.done")
            audio = b"".join(unpacked(e["delta"]) for e in events if e["type"] == "response.output_audio.delta")
            assert len(audio) == len(ANSWER) * 1_600

    run(work())


def test_vendor_events_are_for_those_who_ask() -> None:
    async def work() -> None:
        studio = Studio(pace=20)
        async with serving(studio) as running, talking(running) as plain, talking(running, "?events=relay") as own:
            for session in studio.sessions:
                session.backchannel()
            assert [(await event(own))["type"] for _ in range(4)] == ["relay.backchannel"] * 4
            assert (await event(own))["type"] == "relay.ended"
            await alive(plain)
            await speak(own)
            events = await until(own, "response.done")
            assert "relay.trace" in {e["type"] for e in events}
            created = next(e["response"] for e in events if e["type"] == "response.created")
            assert created["metadata"] == {"turn": "1"}

    run(work())


def test_modes_and_names() -> None:
    async def work() -> None:
        studio = Studio()
        async with serving(studio, mode="s2s") as running:
            async with connect(address(running, "?model=mine&mode=cascade")) as socket:
                assert (await event(socket))["session"]["model"] == "mine"
            async with talking(running):
                assert [session.mode for session in studio.sessions] == ["cascade", "s2s"]
            async with connect(address(running, "?mode=telepathy")) as socket:
                assert (await event(socket))["error"]["code"] == "invalid_value"
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == 1008

    run(work())


def test_the_subprotocol_is_taken_only_where_it_is_offered() -> None:
    async def work() -> None:
        async with serving() as running:
            async with talking(running) as socket:
                assert socket.subprotocol is None
            offered = [Subprotocol(name) for name in ("realtime", "openai-insecure-api-key.k", "openai-agents-sdk.1")]
            async with talking(running, subprotocols=offered) as socket:
                assert socket.subprotocol == "realtime"
            async with talking(running, subprotocols=[Subprotocol("other")]) as socket:
                assert socket.subprotocol is None

    run(work())


def test_a_token_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_TOKEN", "s3cret")

    async def work() -> None:
        async with serving() as running:
            assert await refused(running) == 401
            assert await refused(running, additional_headers={"Authorization": "Bearer s3cre"}) == 401
            assert await refused(running, subprotocols=[Subprotocol("openai-insecure-api-key.nope")]) == 401
            async with talking(running, additional_headers={"Authorization": "Bearer s3cret"}):
                pass
            browser = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.s3cret")]
            async with talking(running, subprotocols=browser) as socket:
                assert socket.subprotocol == "realtime"
            assert (await fetched(running, "/metrics"))[0] == 401
            status, _, text = await fetched(running, "/metrics", Authorization="Bearer s3cret")
            assert status == 200
            assert 'relay_refused_total{why="token"} 4.0' in text
            assert "s3cret" not in text

    run(work())


def test_the_network_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTHER_TOKEN", raising=False)
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org"):
        with pytest.raises(ValueError, match="OTHER_TOKEN"):
            run(_started(Options(host=host, token_variable="OTHER_TOKEN")))


async def _started(options: Options) -> None:
    await serve(Studio(), options)


def test_origins() -> None:
    async def work() -> None:
        async with serving(origins=("https://friend.example",)) as running:
            assert await refused(running, origin=Origin("https://evil.example")) == 403
            assert await refused(running, origin=Origin("null")) == 403
            rebound = {"Host": f"evil.example:{running.port}"}
            assert (
                await refused(running, origin=Origin(f"http://evil.example:{running.port}"), additional_headers=rebound)
                == 403
            )
            for origin in ("https://friend.example", f"http://127.0.0.1:{running.port}"):
                async with talking(running, origin=Origin(origin)):
                    pass

    run(work())


def test_the_plain_pages(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("secret")
    web = tmp_path / "web"
    web.mkdir()
    (web / "index.html").write_text("<p>hello</p>")
    (web / "capture.js").write_text("1")

    async def work() -> None:
        async with serving(web=web) as running:
            async with talking(running) as socket:
                await alive(socket)
                assert json.loads((await fetched(running, "/health"))[2])["sessions"] == 1
            status, kind, text = await fetched(running, "/")
            assert (status, kind, text) == (200, "text/html; charset=utf-8", "<p>hello</p>")
            assert (await fetched(running, "/capture.js?v=1"))[1] == "text/javascript; charset=utf-8"
            for path in (
                "/none.js",
                "/../secret.key",
                "/%2e%2e/secret.key",
                "/..%2fsecret.key",
                "/%00.js",
                "//etc/hosts",
            ):
                assert (await fetched(running, path))[0] == 404
            assert (await fetched(running, "/v1/realtime"))[0] == 426
            metrics = (await fetched(running, "/metrics"))[2]
            assert 'relay_turns_total{kind="turn",outcome="completed"} 1.0' in metrics
            assert "relay_onset_seconds_sum 0.081" in metrics
            assert 'relay_margin_seconds_bucket{le="0.1"} 0.0' in metrics
            assert 'relay_margin_seconds_bucket{le="0.2"} 1.0' in metrics
            assert f"relay_tick_lateness_seconds_count {len(ANSWER)}.0" in metrics

    run(work())


def test_a_limit_on_sessions() -> None:
    async def work() -> None:
        for studio, limit in ((Studio(pace=20), 1), (Studio(1, pace=20), 8)):
            async with serving(studio, max_sessions=limit) as running:
                async with talking(running) as first:
                    async with connect(address(running)) as second:
                        assert (await event(second))["error"]["code"] == "session_limit_reached"
                        with pytest.raises(ConnectionClosed):
                            await second.recv()
                        assert (second.close_code, second.close_reason) == (1008, "session_limit_reached")
                    await alive(first)
                await settled(lambda studio=studio: studio.sessions[0].closed, "the place is free again")
                async with talking(running) as third:
                    await alive(third)

    run(work())


def test_tls(tmp_path: Path) -> None:
    certificate, key = _self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=str(certificate))

    async def work() -> None:
        async with serving(certificate=str(certificate), key=str(key)) as running:
            assert running.url.startswith("https://127.0.0.1:")
            async with connect(address(running, scheme="wss"), ssl=trust) as socket:
                assert (await event(socket))["type"] == "session.created"

    run(work())
    with pytest.raises(ValueError, match="both files"):
        run(_started(Options(port=0, certificate=str(certificate))))
    with pytest.raises(ValueError, match="can not be used"):
        run(_started(Options(port=0, certificate=str(key), key=str(key))))


def _self_signed(folder: Path) -> tuple[Path, Path]:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(1))
    builder = builder.not_valid_after(now + datetime.timedelta(1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), False)
    signed = builder.sign(private, hashes.SHA256())
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(encoding, form, serialization.NoEncryption()))
    return certificate, key
