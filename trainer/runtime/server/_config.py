"""The session object of the protocol: its defaults, what a client may change, what is said back. Pure.

Unknown fields are ignored: newer clients send more than this server has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.runtime.server._errors import refused
from trainer.runtime.server._session import Settings

_LONGEST_INSTRUCTIONS = 100_000


class Loose(BaseModel):
    """Frozen; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Pcm(Loose):
    """16-bit little-endian mono at 24 kHz."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Literal[24000] = 24000


class Pcmu(Loose):
    """G.711 mu-law at 8 kHz."""

    type: Literal["audio/pcmu"]


class Pcma(Loose):
    """G.711 A-law at 8 kHz."""

    type: Literal["audio/pcma"]


Format = Annotated[Pcm | Pcmu | Pcma, Field(discriminator="type")]


class ServerVad(Loose):
    """Asked for by clients as their default; the model itself decides, and the numbers are only said back."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(default=300, ge=0)
    silence_duration_ms: int = Field(default=500, ge=0)
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Loose):
    """Turns end where the model says so."""

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class Transcription(Loose):
    """Whether the user's turns are told as text; the recogniser is the server's choice."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class NoiseReduction(Loose):
    """Said back; the model hears the audio as it comes."""

    type: Literal["near_field", "far_field"]


class Input(Loose):
    """The user's audio. ``turn_detection`` None: turns end at ``commit`` and ``response.create`` alone."""

    format: Format = Pcm()
    transcription: Transcription | None = Transcription(model="relay")
    noise_reduction: NoiseReduction | None = None
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] | None = SemanticVad()


class VoiceId(Loose):
    """A voice named by an object."""

    id: str


class Output(Loose):
    """The assistant's audio."""

    format: Format = Pcm()
    voice: str | VoiceId = "relay"
    speed: float = Field(default=1.0, ge=0.25, le=1.5)


class AudioConfig(Loose):
    """Both directions."""

    input: Input = Input()
    output: Output = Output()


class SessionConfig(Loose):
    """The session as the protocol shows it. Tools are accepted and said back, and never called."""

    type: Literal["realtime"] = "realtime"
    model: str = Field(default="relay", max_length=256)
    output_modalities: list[Literal["audio", "text"]] = Field(default=["audio"], min_length=1, max_length=2)
    instructions: str = Field(default="", max_length=_LONGEST_INSTRUCTIONS)
    tools: list[dict[str, Any]] = Field(default=[], max_length=128)
    tool_choice: str | dict[str, Any] = "auto"
    max_output_tokens: Annotated[int, Field(ge=1)] | Literal["inf"] = "inf"
    tracing: Literal["auto"] | dict[str, Any] | None = None
    audio: AudioConfig = AudioConfig()

    def updated(self, patch: Mapping[str, Any]) -> SessionConfig:
        """The config with the patch laid over it, object by object. Refusal where it does not fit."""
        try:
            return SessionConfig.model_validate(_merged(self.model_dump(), patch))
        except ValidationError as error:
            raise refused(error, "session") from None

    @property
    def text_only(self) -> bool:
        """The client wants the words and no audio."""
        return self.output_modalities == ["text"]

    def settings(self, notes: str = "") -> Settings:
        """What this means for the session; ``notes``: the system messages of the conversation."""
        turns, voice = self.audio.input.turn_detection, self.audio.output.voice
        transcription = self.audio.input.transcription
        return Settings(
            instructions="\n".join(filter(None, (self.instructions, notes))),
            respond=turns is not None and turns.create_response,
            interrupt=turns is not None and turns.interrupt_response,
            voice=voice if isinstance(voice, str) else voice.id,
            language=None if transcription is None else transcription.language,
        )


def _merged(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in patch.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _merged(before, value)
        result[key] = value
    return result
