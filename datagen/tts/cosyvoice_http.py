"""CosyVoice2 or 3 behind a server that speaks CosyVoice's own HTTP protocol: a form in, raw 16-bit samples out.

``POST /inference_zero_shot`` with the fields tts_text, prompt_text and the file prompt_wav, as the official server
defines it, LightTTS (with the further fields stream, speed and tts_model_name) and many forks. The voice is cloned from
its first prompt. The servers published so far take no seed: a repeat is then a new draw of the server's, and the seed
only names the request. Give ``seed_field`` for one that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from datagen.core.types import Prompt, Voice
from datagen.kinds import Need, Speech
from datagen.tts._clip import from_body, speakable
from datagen.tts._prompts import check_prompts, prompt_of, prompt_wav
from datagen.tts._server import SEEDS, ServerConfig, connect, one_value_per_field, server_needs

if TYPE_CHECKING:
    from datagen.tts._http import Server

RESOURCES = {"API": 1}
PATH = "/inference_zero_shot"
FIELDS = frozenset({"tts_text", "prompt_text", "prompt_wav"})


class Config(ServerConfig):
    """Which server and what it is told beside the text and the prompt."""

    kind: Literal["cosyvoice_http"]
    url_env: ClassVar[str] = "COSYVOICE_URL"
    start: ClassVar[str] = "python -m light_tts.server.api_server --model_dir CosyVoice2-0.5B  (LightTTS, port 8080)"
    sample_rate: int = Field(default=24_000, ge=8_000, le=48_000)
    """Of the samples: 24,000 for CosyVoice2 and 3, 22,050 for the first CosyVoice. The answer does not say."""
    seed_field: str | None = Field(default=None, min_length=1)
    """Name of the form field for the seed, where the server takes one."""
    prompt_prefix: str = ""
    """Put before the prompt's transcript. CosyVoice3 wants ``You are a helpful assistant.<|endofprompt|>`` there,
    where the server does not add it."""
    extra: dict[str, str] = Field(default_factory=dict)
    """Further form fields, such as ``speed: "1.1"``."""

    @model_validator(mode="after")
    def _one_value_per_field(self) -> Self:
        one_value_per_field(FIELDS, self.seed_field, self.extra)
        return self


class CosyVoiceHttp:
    """The engine (see ``datagen.kinds.Engine``). Gives no word times. Safe in threads."""

    def __init__(self, config: Config, server: Server) -> None:
        self._config, self._server = config, server
        self.parallel = config.concurrency

    def check_voice(self, voice: Voice) -> None:
        """Raises ValueError unless the voice has prompts and their files are there."""
        check_prompts(voice)

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        """The text in the voice's first prompt's voice; the server normalises and splits it."""
        speakable(text)
        prompt = prompt_of(voice)
        config = self._config
        return self._server.ask(
            PATH,
            lambda body: from_body(body, config.sample_rate, config.max_seconds),
            data=fields(text, prompt, seed, config),
            files={"prompt_wav": ("prompt.wav", prompt_wav(prompt), "audio/wav")},
        )


def fields(text: str, prompt: Prompt, seed: int, config: Config) -> dict[str, str]:
    """The form's fields, without the file."""
    own = {"tts_text": text, "prompt_text": config.prompt_prefix + prompt.text}
    seeded = {config.seed_field: str(seed % SEEDS)} if config.seed_field else {}
    return own | config.extra | seeded


def make(config: Config) -> CosyVoiceHttp:
    """The engine; nothing is sent yet. OSError when nobody says where the server is."""
    return CosyVoiceHttp(config, connect(config))


def revision(config: Config) -> str:
    """The model the recipe declares: the protocol has no way to ask."""
    return config.model


def needs(config: Config) -> Iterator[Need]:
    """The package, the server and its key."""
    yield from server_needs(config)
