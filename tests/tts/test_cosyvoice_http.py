"""Laws of the engine behind CosyVoice's HTTP protocol, against real servers that misbehave in every known way."""

from __future__ import annotations

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.core.types import Voice
from datagen.core.units import SAMPLE_RATE
from datagen.identity import digest
from datagen.kinds import Speech, Unspoken
from datagen.tts.cosyvoice_http import Config, CosyVoiceHttp, make, needs, revision
from tests.tts.cloning import prompt, voice
from tests.tts.speech_server import RATE, Asked, Reply, SpeechServer, pcm, serving, wav

GOOD = pcm(0.5).tobytes()
HTML = b"<html><body>" + b"bad gateway " * 300 + b"</body></html>"


def engine(url: str, **fields: object) -> CosyVoiceHttp:
    quick = {"timeout_s": 5, "backoff_s": 0.001, "patience": 1_000}
    return make(Config.model_validate({"kind": "cosyvoice_http", "model": "m@1", "url": url} | quick | fields))


@pytest.fixture
def ann(tmp_path: Path) -> Voice:
    return voice(prompt(tmp_path))


def say(server: SpeechServer, who: Voice, text: str = "Hello there.", seed: int = 1, **fields: object) -> Speech:
    return engine(server.url, **fields).synthesize(text, who, seed)


def test_the_form_is_what_the_official_server_takes(ann: Voice) -> None:
    with serving(Reply(GOOD, how="chunked")) as server:
        speech = say(server, ann, "Où est-ce? “Là-bas”, 你好。")
    (asked,) = server.asked
    assert asked.path == "/inference_zero_shot"
    assert asked.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert set(asked.form()) == {"tts_text", "prompt_text", "prompt_wav"}
    assert asked.fields() == {"tts_text": "Où est-ce? “Là-bas”, 你好。", "prompt_text": "This is how I sound."}
    assert asked.form()["prompt_wav"] == ("prompt.wav", "audio/wav", Path(ann.prompts[0].path).read_bytes())
    assert speech.words is None
    assert "authorization" not in asked.headers


def test_further_fields_seed_and_prefix_are_sent_where_they_are_configured(ann: Voice) -> None:
    extra = {"speed": "1.1", "stream": "false", "tts_model_name": "default"}
    with serving(Reply(GOOD)) as server:
        say(server, ann, seed=2**63 + 5, extra=extra, seed_field="seed", prompt_prefix="You help.<|endofprompt|>")
    assert server.asked[0].fields() == extra | {
        "seed": "5",
        "tts_text": "Hello there.",
        "prompt_text": "You help.<|endofprompt|>This is how I sound.",
    }


@pytest.mark.parametrize("fields", [{"extra": {"tts_text": "x"}}, {"extra": {"s": "1"}, "seed_field": "s"}])
def test_a_field_cannot_be_given_twice(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="filled by the engine"):
        engine("http://h", **fields)
    with pytest.raises(ValueError, match="something else"):
        engine("http://h", seed_field="prompt_wav")


def test_a_flac_prompt_is_sent_as_a_wav_file_of_the_same_samples(tmp_path: Path) -> None:
    who = voice(prompt(tmp_path, "b.flac", rate=48_000))
    with serving(Reply(GOOD)) as server:
        say(server, who)
    sent = server.asked[0].form()["prompt_wav"][2]
    assert sent[:4] == b"RIFF"
    was, _ = soundfile.read(who.prompts[0].path, dtype="int16")
    samples, rate = soundfile.read(BytesIO(sent), dtype="int16")
    assert rate == 48_000
    np.testing.assert_array_equal(samples, was)


@pytest.mark.parametrize("how", ["whole", "chunked", "open"])
@pytest.mark.parametrize("rate", [22_050, RATE])
def test_raw_samples_become_16_khz(ann: Voice, how: Any, rate: int) -> None:
    reply = Reply(pcm(0.5, hz=440, rate=rate).tobytes(), how=how)
    with serving(reply) as server:
        heard = say(server, ann, sample_rate=rate).pcm
    assert heard.dtype == np.int16
    assert heard.size == pytest.approx(SAMPLE_RATE // 2, abs=1)
    assert np.argmax(np.abs(np.fft.rfft(heard))) * SAMPLE_RATE / heard.size == pytest.approx(440, abs=2)


def test_a_wav_header_in_the_body_is_believed(ann: Voice) -> None:
    with serving(Reply(wav(pcm(0.5, rate=48_000), 48_000))) as server:
        assert say(server, ann).pcm.size == SAMPLE_RATE // 2


TYPE = "Content-Type"
ERROR = b'{"error": "' + b"x" * 5_001 + b'"}'
BAD = {
    "cut off by length": ("broke off after 12000 bytes", Reply(GOOD, how="cut")),
    "cut off by chunk": ("broke off after 12000 bytes", Reply(GOOD, how="cut_chunk")),
    "nothing, and cut off": ("broke off after 0 bytes", Reply(how="cut_chunk")),
    "reset inside": ("broke off", Reply(GOOD, how="reset_inside")),
    "no bytes": ("0 ms", Reply()),
    "no bytes, chunked": ("0 ms", Reply(how="chunked")),
    "odd": ("odd number of bytes", Reply(GOOD[:-1])),
    "less than a token": ("35 ms", Reply(pcm(0.035).tobytes())),
    "too long": ("more than max_seconds 2", Reply(pcm(2.1).tobytes())),
    "endless": ("no end within max_seconds 2", Reply(GOOD * 8, how="endless")),
    "hang": ("no answer within timeout_s", Reply(how="hang")),
    "hang inside": ("stood still for timeout_s", Reply(GOOD, how="hang_inside")),
    "drip": ("not complete within timeout_s", Reply(GOOD, how="drip")),
    "html": ("text/html instead of audio: <html>", Reply(HTML, headers={TYPE: "text/HTML"})),
    "html without a type": ("text instead of audio: <html>", Reply(HTML)),
    "json": ("application/json instead of audio", Reply(ERROR, headers={TYPE: "application/json"})),
    "json that claims to be audio": ('instead of audio: {"error', Reply(ERROR, headers={TYPE: "audio/wav"})),
    "events": ("event-stream instead of audio", Reply(GOOD, headers={TYPE: "text/event-stream"})),
    "cut wav": ("cut off: 4956 of 24000 bytes", Reply(wav(pcm(0.5))[:5_000])),
    "nan": ("no numbers", Reply(wav(np.full(RATE, np.nan, np.float32), subtype="FLOAT"))),
}
SLOW = ("hang", "hang inside", "drip")


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_answer_is_unspoken_and_not_asked_for_again_here(ann: Voice, fault: str) -> None:
    said, reply = BAD[fault]
    with serving(reply) as server, pytest.raises(Unspoken, match=re.escape(said)) as caught:
        say(server, ann, timeout_s=0.15 if fault in SLOW else 9, max_seconds=2)
    assert len(server.asked) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reply", [Reply(how="reset"), *(Reply(b"boom", s) for s in (408, 417, 429, 500, 502, 503, 504))]
)
def test_what_may_pass_is_tried_again_here_and_then_unspoken(ann: Voice, reply: Reply) -> None:
    with serving(reply) as server, pytest.raises(Unspoken) as caught:
        say(server, ann, attempts=4)
    assert len(server.asked) == 4
    assert str(reply.status) in str(caught.value) or reply.how == "reset"
    with serving(lambda asked: reply if asked.number < 2 else Reply(GOOD)) as server:
        assert say(server, ann, attempts=3).pcm.size == SAMPLE_RATE // 2


def test_a_server_says_when_to_try_again(ann: Voice) -> None:
    busy = Reply(b"busy", 429, {"Retry-After": "0"})
    with serving(lambda asked: busy if asked.number < 2 else Reply(GOOD)) as server:
        say(server, ann, backoff_s=60)
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_refused_request_is_the_texts_fault(ann: Voice, status: int) -> None:
    told = Reply(b'{"detail":[{"loc":["body","tts_text"],\n "msg":"Field required"}]}', status)
    with serving(told) as server, pytest.raises(ValueError, match=rf"{status} .*Field required") as caught:
        say(server, ann)
    assert not isinstance(caught.value, Unspoken)
    assert len(server.asked) == 1


@pytest.mark.parametrize(("status", "headers"), [(401, {}), (403, {}), (404, {}), (405, {}), (307, {"Location": "/x"})])
def test_a_wrong_service_is_no_records_fault(ann: Voice, status: int, headers: dict[str, str]) -> None:
    with serving(Reply(b"no", status, headers)) as server, pytest.raises(OSError, match=rf"HTTP {status} .*check url"):
        say(server, ann)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_ends_the_run_with_the_remedy(ann: Voice) -> None:
    with serving(Reply(GOOD)) as server:
        url = server.url
    with pytest.raises(OSError, match=rf"{url} cannot be reached \(Connection refused\); start it with: python -m"):
        engine(url, attempts=2).synthesize("Hello.", ann, 1)


def test_an_address_that_no_name_can_have_ends_the_run(ann: Voice) -> None:
    with pytest.raises(OSError, match=r"http://x\.\.y cannot be used: .*; check url"):
        engine("http://x..y").synthesize("Hello.", ann, 1)


def test_a_server_that_comes_back_between_attempts_is_used(ann: Voice) -> None:
    """The connection kept from the first call is dead by the second."""
    with serving(Reply(GOOD)) as server:
        kept = engine(server.url, attempts=8, backoff_s=0.02)
        kept.synthesize("Hello.", ann, 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(kept.synthesize, "Hello.", ann, 1)
        time.sleep(0.05)
        again = SpeechServer(lambda _: Reply(GOOD), port=server.server_address[1])
        pool_of_server = ThreadPoolExecutor(1)
        pool_of_server.submit(again.serve_forever, 0.01)
        assert waiting.result().pcm.size == SAMPLE_RATE // 2
        again.shutdown()
        again.server_close()
        pool_of_server.shutdown()


def test_a_server_that_only_fails_is_taken_to_be_broken(ann: Voice) -> None:
    """A GPU that is lost fails every request, and each would cost a record; one success says that it is not."""
    with serving(Reply(b"CUDA error", 500)) as server:
        speaker = engine(server.url, attempts=1, patience=5)
        for _ in range(4):
            with pytest.raises(Unspoken, match="CUDA error"):
                speaker.synthesize("Hello.", ann, 1)
        server.behave = lambda _: Reply(GOOD)
        speaker.synthesize("Hello.", ann, 1)
        server.behave = lambda _: Reply(b"x" * 3, 422)
        for _ in range(4):
            with pytest.raises(ValueError, match="refuses"):
                speaker.synthesize("Hello.", ann, 1)
        with pytest.raises(OSError, match="failed 5 times in a row, last: the server refuses"):
            speaker.synthesize("Hello.", ann, 1)


def by_fields(asked: Asked) -> Reply:
    """What a server with a seed does: the form alone decides the clip; one in three first fails in passing."""
    form = asked.fields()
    rng = np.random.default_rng([*form["tts_text"].encode(), int(form["seed"])])
    if asked.number % 3 == 0:
        return Reply(b"busy", 503)
    time.sleep(0.002)
    return Reply(rng.integers(-9_000, 9_000, 2_000 + 10 * len(form["tts_text"])).astype("<i2").tobytes(), how="chunked")


def test_threads_and_the_order_of_work_change_nothing(ann: Voice) -> None:
    jobs = [(f"This is sentence {'x' * (n % 7)} {n % 20}.", n % 3) for n in range(60)]
    shuffled = Random(1).sample(jobs, len(jobs))
    with serving(by_fields) as server:
        speaker = engine(server.url, seed_field="seed", concurrency=12, attempts=9)
        assert speaker.parallel == 12

        def spoken(job: tuple[str, int]) -> bytes:
            return speaker.synthesize(job[0], ann, job[1]).pcm.tobytes()

        with ThreadPoolExecutor(12) as pool:
            parallel = dict(zip(shuffled, pool.map(spoken, shuffled), strict=True))
        connections, at_once = server.connections, server.most_at_once
        assert [spoken(job) for job in jobs] == [parallel[job] for job in jobs]
    assert len(set(parallel.values())) == len(parallel)
    assert at_once > 3
    assert connections <= 12, "a thread keeps its connection"


def test_every_thread_has_a_session_of_its_own() -> None:
    """requests does not promise that one can be shared."""
    server = engine("http://h")._server
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(server._session).result()
        assert other.submit(server._session).result() is theirs
    assert server._session() is server._session()
    assert server._session() is not theirs


def test_the_key_leaves_only_as_a_header(ann: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")

    def echo(asked: Asked) -> Reply:
        said = f"bad: {asked.headers['authorization']}".encode()
        return Reply(said * 200, (500, 422, 401, 200)[asked.number])

    with serving(echo) as server:
        speaker = engine(server.url, key_env="MY_KEY", attempts=1)
        for kind in (Unspoken, ValueError, OSError, Unspoken):
            with pytest.raises(kind, match=r"bad: Bearer \*\*\*") as caught:
                speaker.synthesize("Hello.", ann, 1)
            assert "secret" not in repr(caught.value)
            assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert server.asked[0].headers["authorization"] == "Bearer sk-very-secret"
    assert "secret" not in repr(vars(speaker)) + repr(list(needs(speaker._config)))
    monkeypatch.setenv("MY_KEY", " \n")
    with pytest.raises(OSError, match="export MY_KEY="):
        engine(server.url, key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", "secret\nsecret")
    with pytest.raises(OSError, match="no key") as refused:
        engine(server.url, key_env="MY_KEY")
    assert "secret" not in str(refused.value)


def test_nothing_is_asked_for_a_text_without_a_word(ann: Voice) -> None:
    with serving(Reply(GOOD)) as server:
        for text in ("", " ", "...", "?!"):
            with pytest.raises(ValueError, match="nothing to say"):
                say(server, ann, text)
    assert server.asked == []


def test_a_voice_without_its_prompt_is_refused(tmp_path: Path) -> None:
    speaker = engine("http://127.0.0.1:9")
    gone, changed, low = (
        voice(prompt(tmp_path, "a.wav")),
        voice(prompt(tmp_path, "b.wav")),
        prompt(tmp_path, "c.wav", rate=8_000),
    )
    for who in (gone, changed):
        speaker.check_voice(who)
    Path(gone.prompts[0].path).unlink()
    Path(changed.prompts[0].path).write_bytes(wav(pcm(0.5)))
    for who in (gone, voice(changed.prompts[0], gone.prompts[0])):
        with pytest.raises(ValueError, match=r"voice v1: there is no prompt .*a\.wav; correct the voice manifest"):
            speaker.check_voice(who)
    with pytest.raises(ValueError, match="voice v1: it has no prompt"):
        speaker.check_voice(voice())
    with pytest.raises(ValueError, match=r"b\.wav is not the recording of the manifest"):
        speaker.synthesize("Hello.", changed, 1)
    with pytest.raises(ValueError, match="16000 or more"):
        speaker.synthesize("Hello.", voice(low), 1)


def test_where_the_server_is_and_how_it_is_asked_is_no_part_of_the_identity() -> None:
    one = Config(kind="cosyvoice_http", model="m", url="http://a", timeout_s=1, concurrency=2, attempts=1, key_env="K")
    assert digest(one) == digest(Config(kind="cosyvoice_http", model="m"))
    assert digest(one) != digest(Config(kind="cosyvoice_http", model="n"))
    assert digest(one) != digest(Config(kind="cosyvoice_http", model="m", extra={"speed": "1.1"}))
    assert revision(one) == "m"


def test_needs_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSYVOICE_URL", raising=False)
    monkeypatch.delenv("NO_KEY", raising=False)
    package, server, key = needs(Config(kind="cosyvoice_http", model="m", key_env="NO_KEY"))
    assert package.found
    assert (server.found, key.found) == ("", "")
    assert "COSYVOICE_URL" in server.remedy
    assert "export NO_KEY" in key.remedy
    with serving(Reply(GOOD)) as running:
        monkeypatch.setenv("COSYVOICE_URL", running.url + "/")
        monkeypatch.setenv("NO_KEY", "k")
        found = [need.found for need in needs(Config(kind="cosyvoice_http", model="m", key_env="NO_KEY"))]
        assert found[1:] == [f"{running.url} answers (HTTP 404)", "set"]
    (_, gone) = needs(Config(kind="cosyvoice_http", model="m"))
    assert not gone.found
    assert "not answering; start it with: python -m light_tts" in gone.remedy


@pytest.mark.parametrize("url", ["localhost:80", "ftp://h", "http://", "http://h:99999", "http://[", "http://u:p@h"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url") as caught:
        engine(url)
    assert "u:p" not in str(caught.value)


def test_a_missing_package_and_a_missing_address_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSYVOICE_URL", raising=False)
    with pytest.raises(OSError, match="COSYVOICE_URL is not set"):
        make(Config(kind="cosyvoice_http", model="m"))
    monkeypatch.setitem(sys.modules, "datagen.tts._http", None)
    with pytest.raises(ValueError, match=r"run: pip install 'duplexkit\[http\]'"):
        engine("http://h")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=6_000), kind=st.sampled_from(["", "audio/wav", "text/plain", "application/octet-stream"])
)
def test_any_body_of_any_type_is_speech_or_unspoken(ann: Voice, body: bytes, kind: str) -> None:
    with serving(Reply(body, headers={"Content-Type": kind} if kind else {})) as server:
        try:
            speech = say(server, ann)
        except Unspoken:
            return
    assert speech.pcm.size == pytest.approx(len(body) / 2 * SAMPLE_RATE / RATE, abs=1)
    assert kind != "text/plain"
