"""Any server with OpenAI's ``POST /v1/audio/speech``, with or without cloning.

``form: json`` sends the prompt as ref_audio (a data URL) and ref_text, and the seed: vLLM-Omni and SGLang-Omni, which
serve CosyVoice3 and others. ``form: multipart`` is Xinference's: the prompt as the file prompt_speech, its transcript
and the seed in ``kwargs``. A voice without prompts speaks with the server's own voice that ``params.voice`` names; that
is all OpenAI itself offers, and it takes no seed (``seed_field: null``): a repeat is then a new draw.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from datagen.core.types import Prompt, Voice
from datagen.kinds import Need, Speech
from datagen.tts._clip import from_body, from_wav, speakable
from datagen.tts._prompts import check_prompts, prompt_of, prompt_wav
from datagen.tts._server import SEEDS, ServerConfig, connect, one_value_per_field, server_needs

if TYPE_CHECKING:
    from datagen.tts._http import Server

RESOURCES = {"API": 1}
PATH = "/v1/audio/speech"
FIELDS = frozenset(
    {"model", "input", "voice", "ref_audio", "ref_text", "response_format", "kwargs", "prompt_speech", "prompt_text"}
)
FORM_FIELDS = frozenset({"speed", "stream"})
"""What Xinference takes as fields of their own; everything else goes to the model by ``kwargs``."""


class Config(ServerConfig):
    """Which server, and what it is told beside the text and the voice."""

    kind: Literal["openai_speech"]
    url_env: ClassVar[str] = "SPEECH_URL"
    start: ClassVar[str] = "vllm serve FunAudioLLM/Fun-CosyVoice3-0.5B-2512 --omni --port 8091"
    served_as: str | None = Field(default=None, min_length=1)
    """The model's name in requests, where it differs from ``model``, which may also state a revision."""
    form: Literal["json", "multipart"] = "json"
    response_format: Literal["wav", "pcm"] = "wav"
    sample_rate: int = Field(default=24_000, ge=8_000, le=48_000)
    """Of ``pcm``, which does not say; a WAV file does."""
    seed_field: str | None = Field(default="seed", min_length=1)
    """Name of the field for the seed; null for servers that take none."""
    extra: dict[str, str | bool | int | float] = Field(default_factory=dict)
    """Further fields, such as ``speed: 1.1`` or ``language: English``."""

    @model_validator(mode="after")
    def _one_value_per_field(self) -> Self:
        one_value_per_field(FIELDS, self.seed_field, self.extra)
        return self


class OpenaiSpeech:
    """The engine (see ``datagen.kinds.Engine``). Gives no word times. Safe in threads."""

    def __init__(self, config: Config, server: Server, path: str) -> None:
        self._config, self._server, self._path = config, server, path
        self.parallel = config.concurrency

    def check_voice(self, voice: Voice) -> None:
        """Raises ValueError unless the voice's prompts are there, or it names one of the server's voices."""
        if voice.prompts or self._config.form == "multipart":
            check_prompts(voice)
        else:
            own_voice(voice)

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        """The text, cloned from the voice's first prompt, or with the server's voice."""
        speakable(text)
        return self._server.ask(self._path, self._read, **request(text, voice, seed, self._config))

    def _read(self, body: bytes) -> Speech:
        config = self._config
        if config.response_format == "wav":
            return from_wav(body, config.max_seconds)
        return from_body(body, config.sample_rate, config.max_seconds)


def request(text: str, voice: Voice, seed: int, config: Config) -> dict[str, Any]:
    """What is posted, as arguments of requests: ``json``, or ``data`` and ``files``."""
    named = {"model": config.served_as or config.model, "input": text, "response_format": config.response_format}
    seeded = {config.seed_field: seed % SEEDS} if config.seed_field else {}
    if config.form == "multipart":
        return _form(named, prompt_of(voice), config.extra | seeded)
    if not voice.prompts:
        return {"json": named | {"voice": own_voice(voice)} | config.extra | seeded}
    prompt = prompt_of(voice)
    audio = f"data:audio/wav;base64,{b64encode(prompt_wav(prompt)).decode()}"
    return {"json": named | {"ref_audio": audio, "ref_text": prompt.text} | config.extra | seeded}


def _form(named: dict[str, str], prompt: Prompt, options: dict[str, Any]) -> dict[str, Any]:
    """Xinference's form. It refuses a voice beside a prompt, but expects the field."""
    own = {name: _as_text(value) for name, value in options.items() if name in FORM_FIELDS}
    rest = {name: value for name, value in options.items() if name not in FORM_FIELDS}
    kwargs = json.dumps({"prompt_text": prompt.text} | rest, ensure_ascii=False)
    return {
        "data": named | {"voice": ""} | own | {"kwargs": kwargs},
        "files": {"prompt_speech": ("prompt.wav", prompt_wav(prompt), "application/octet-stream")},
    }


def _as_text(value: str | bool | int | float) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def own_voice(voice: Voice) -> str:
    """The server's voice that a voice without prompts names; ValueError when it names none."""
    name = voice.params.get("voice")
    if not isinstance(name, str) or not name:
        raise ValueError(f"voice {voice.id}: it has no prompt and no params.voice; name one of the server's voices")
    return name


def make(config: Config) -> OpenaiSpeech:
    """The engine; nothing is sent yet. OSError when nobody says where the server is or a named key is missing."""
    server = connect(config)
    return OpenaiSpeech(config, server, PATH.removeprefix("/v1") if server.url.endswith("/v1") else PATH)


def revision(config: Config) -> str:
    """The model the recipe declares."""
    return config.model


def needs(config: Config) -> Iterator[Need]:
    """The package, the server and its key."""
    yield from server_needs(config)
