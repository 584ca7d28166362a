"""Laws of the engine behind /v1/audio/speech. What both engines share of HTTP is in test_cosyvoice_http."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen.core.types import Voice
from datagen.core.units import SAMPLE_RATE
from datagen.identity import digest
from datagen.kinds import Speech, Unspoken
from datagen.tts.openai_speech import Config, OpenaiSpeech, make, needs, revision
from tests.tts.cloning import prompt, voice
from tests.tts.speech_server import RATE, Reply, SpeechServer, pcm, serving, wav

TEXT = "Hello there, “Zoë”. 你好。"
ERROR = {"error": {"message": "The model is overloaded.\nTry later.", "type": "server_error", "code": None}}


def engine(url: str, **fields: object) -> OpenaiSpeech:
    quick = {"timeout_s": 5, "backoff_s": 0.001, "patience": 1_000}
    return make(Config.model_validate({"kind": "openai_speech", "model": "cosy3", "url": url} | quick | fields))


@pytest.fixture
def ann(tmp_path: Path) -> Voice:
    return voice(prompt(tmp_path))


@pytest.fixture
def server() -> Iterator[SpeechServer]:
    with serving(Reply(wav(pcm(0.5)), headers={"Content-Type": "audio/wav"})) as running:
        yield running


def say(server: SpeechServer, who: Voice, text: str = TEXT, seed: int = 1, **fields: object) -> Speech:
    return engine(server.url, **fields).synthesize(text, who, seed)


def test_json_with_a_prompt_is_what_vllm_omni_takes(server: SpeechServer, ann: Voice) -> None:
    speech = say(server, ann, seed=2**63 + 7, extra={"speed": 1.1, "stream": False, "language": "English"})
    (asked,) = server.asked
    assert asked.path == "/v1/audio/speech"
    assert asked.headers["content-type"] == "application/json"
    body = asked.json()
    scheme, audio = body.pop("ref_audio").split(",")
    assert scheme == "data:audio/wav;base64"
    assert b64decode(audio, validate=True) == Path(ann.prompts[0].path).read_bytes()
    assert body == {
        "model": "cosy3",
        "input": TEXT,
        "ref_text": "This is how I sound.",
        "response_format": "wav",
        "seed": 7,
        "speed": 1.1,
        "stream": False,
        "language": "English",
    }
    assert speech.words is None
    assert speech.pcm.size == SAMPLE_RATE // 2


def test_a_form_with_a_prompt_is_what_xinference_takes(server: SpeechServer, ann: Voice) -> None:
    say(server, ann, form="multipart", extra={"speed": 1.1, "stream": False, "temperature": 0.5}, seed=9)
    form = server.asked[0].form()
    assert form.pop("prompt_speech") == (
        "prompt.wav",
        "application/octet-stream",
        Path(ann.prompts[0].path).read_bytes(),
    )
    fields = server.asked[0].fields()
    assert fields.keys() == form.keys()
    assert json.loads(fields.pop("kwargs")) == {"prompt_text": "This is how I sound.", "seed": 9, "temperature": 0.5}
    assert fields == {
        "model": "cosy3",
        "input": TEXT,
        "voice": "",
        "response_format": "wav",
        "speed": "1.1",
        "stream": "false",
    }


def test_without_a_prompt_it_is_what_openais_own_client_sends(server: SpeechServer) -> None:
    openai = pytest.importorskip("openai")
    say(server, voice(voice="alloy"), seed_field=None, extra={"speed": 1.25, "instructions": "Calm."}, model="tts-1")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0)
    client.audio.speech.create(
        model="tts-1", voice="alloy", input=TEXT, response_format="wav", speed=1.25, instructions="Calm."
    )
    ours, theirs = server.asked
    assert ours.json() == theirs.json()
    assert ours.path == theirs.path


def test_a_url_may_end_in_v1_and_the_model_may_be_served_by_another_name(server: SpeechServer, ann: Voice) -> None:
    engine(f"{server.url}/v1/", model="cosy3@abc", served_as="cosy3").synthesize(TEXT, ann, 1)
    assert server.asked[0].path == "/v1/audio/speech"
    assert server.asked[0].json()["model"] == "cosy3"


def test_raw_samples_have_the_rate_of_the_recipe(ann: Voice) -> None:
    with serving(Reply(pcm(0.5, rate=48_000).tobytes(), headers={"Content-Type": "audio/pcm"})) as server:
        assert say(server, ann, response_format="pcm", sample_rate=48_000).pcm.size == SAMPLE_RATE // 2
        assert server.asked[0].json()["response_format"] == "pcm"
        with pytest.raises(Unspoken, match="no WAV"):
            say(server, ann, response_format="wav")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate", [22_050, 24_000, 44_100])
def test_wav_files_of_any_rate_and_encoding(ann: Voice, rate: int, subtype: str) -> None:
    with serving(Reply(wav(pcm(0.5, hz=440, rate=rate), rate, subtype), how="chunked")) as server:
        heard = say(server, ann).pcm
    assert heard.size == pytest.approx(SAMPLE_RATE // 2, abs=1)
    assert np.argmax(np.abs(np.fft.rfft(heard))) * SAMPLE_RATE / heard.size == pytest.approx(440, abs=2)


def answer(content: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(json.dumps(content).encode(), status, {"Content-Type": "application/json", **headers})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_of_the_service_are_unspoken_with_its_words(ann: Voice, status: int) -> None:
    with serving(answer(ERROR, status)) as server, pytest.raises(Unspoken, match=rf"{status} .*overloaded"):
        say(server, ann, attempts=2)
    assert len(server.asked) == 2


def test_an_error_that_claims_success_is_unspoken(ann: Voice) -> None:
    with serving(answer(ERROR)) as server, pytest.raises(Unspoken, match="application/json instead of audio"):
        say(server, ann)


@pytest.mark.parametrize("status", [400, 422])
def test_errors_of_the_request_are_its_own_fault(ann: Voice, status: int) -> None:
    told = answer({"error": {"message": "Unknown parameter: 'seed'.", "param": "seed"}}, status)
    with serving(told) as server, pytest.raises(ValueError, match="Unknown parameter") as caught:
        say(server, ann)
    assert not isinstance(caught.value, Unspoken)


def test_without_money_or_a_right_key_the_run_ends(ann: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH_KEY", "sk-abcdefghijklmnop")
    long = "You exceeded your current quota, please check your plan and billing details. " * 5
    with serving(answer({"error": {"message": long, "type": "insufficient_quota"}}, 429)) as server:
        with pytest.raises(OSError, match="check url, model and key"):
            say(server, ann, key_env="SPEECH_KEY")
        server.behave = lambda asked: answer(
            {"error": {"message": f"Incorrect key: {asked.headers['authorization']}"}}, 401
        )
        with pytest.raises(OSError, match=r"Incorrect key: Bearer \*\*\*") as caught:
            say(server, ann, key_env="SPEECH_KEY")
    assert "abcdef" not in str(caught.value)
    assert len(server.asked) == 2


def test_no_password_file_stands_in_for_the_key(
    server: SpeechServer, ann: Voice, tmp_path: Path, monkeypatch: Any
) -> None:
    """requests would read ~/.netrc and send what it holds for the host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hidden\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("SPEECH_KEY", "k1")
    say(server, ann)
    say(server, ann, key_env="SPEECH_KEY")
    assert "authorization" not in server.asked[0].headers
    assert server.asked[1].headers["authorization"] == "Bearer k1"


def test_a_voice_needs_a_prompt_or_a_name(ann: Voice) -> None:
    plain, cloning = engine("http://h"), engine("http://h", form="multipart")
    for speaker in (plain, cloning):
        speaker.check_voice(ann)
    plain.check_voice(voice(voice="alloy"))
    with pytest.raises(ValueError, match=r"no params\.voice"):
        plain.check_voice(voice())
    with pytest.raises(ValueError, match="no prompt to be cloned"):
        cloning.check_voice(voice(voice="alloy"))
    Path(ann.prompts[0].path).unlink()
    with pytest.raises(ValueError, match="there is no prompt"):
        plain.check_voice(ann)


def test_nothing_is_asked_for_a_text_without_a_word(server: SpeechServer, ann: Voice) -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        say(server, ann, "...")
    assert server.asked == []


@pytest.mark.parametrize("extra", [{"seed": 1}, {"input": "x"}, {"ref_audio": "x"}])
def test_a_field_cannot_be_given_twice(extra: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="filled by the engine"):
        engine("http://h", extra=extra)


def test_identity_and_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPEECH_URL", raising=False)
    one = Config(kind="openai_speech", model="m")
    assert digest(one) == digest(Config(kind="openai_speech", model="m", url="http://a", patience=3, backoff_s=1))
    assert digest(one) != digest(Config(kind="openai_speech", model="m", extra={"temperature": 0.5}))
    assert revision(one) == "m"
    _, missing = needs(one)
    assert "SPEECH_URL" in missing.remedy
    assert "vllm serve" in missing.remedy
    with serving(Reply(b"", 200)) as running:
        monkeypatch.setenv("SPEECH_URL", running.url)
        assert [bool(need.found) for need in needs(one)] == [True, True]
        assert make(one).parallel == one.concurrency


def test_a_float_file_with_more_than_full_scale_is_held_there(ann: Voice) -> None:
    loud = np.full(RATE, 3.0, np.float32)
    with serving(Reply(wav(loud, subtype="FLOAT"))) as server:
        heard = say(server, ann).pcm
    assert heard[1_000:-1_000].min() >= 32_700
