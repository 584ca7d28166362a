"""The commands of the runtime: export a bundle, replay conversations through it, serve it, publish it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from pydantic import ValidationError

from datagen.core.types import Voice
from trainer.asked import mapping

Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, or owner/name on the Hub.")]
Mode = Annotated[
    Literal["relay", "s2s", "cascade"],
    typer.Option(help="relay; s2s: the fast path alone; cascade: the slow path alone."),
]
KIND = "A kind, or {kind: NAME, ...}; default the bundle's."
Hearing = Annotated[str | None, typer.Option(metavar="KIND", help=f"The recogniser. {KIND}")]
Answering = Annotated[str | None, typer.Option(metavar="KIND", help=f"The slow path's language model. {KIND}")]
Speaking = Annotated[str | None, typer.Option(metavar="KIND", help=f"The synthesizer. {KIND}")]
Endpointing = Annotated[str | None, typer.Option(metavar="KIND", help=f"Ends a turn in a cascade. {KIND}")]
Words = Annotated[int | None, typer.Option(min=1, help="Of a prefix; default the bundle's.")]
Weights = Annotated[Literal["float32", "bfloat16", "float16", "int8"], typer.Option(help="How the fast path computes.")]
Ungated = Annotated[bool, typer.Option("--ungated", help="Commit every draft, without asking the verifier.")]
Trigger = Annotated[
    Literal["voice", "model"], typer.Option(help="What a cascade answers to: a silence, or the model's [BOS].")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Threads = Annotated[int, typer.Option(min=1, help="Of the processor, for the fast path.")]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder, as `fit` and `kfold` wrote it.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The bundle's folder.")],
    name: Annotated[str | None, typer.Option(help="Of the model; default the run's folder's.")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Thresholds from its validation split, without an evaluation.")
    ] = None,
    hearing: Hearing = None,
    answering: Answering = None,
    speaking: Speaking = None,
    voice: Annotated[
        str | None, typer.Option(metavar="YAML", help="The assistant's, as an entry of a voices manifest.")
    ] = None,
    language: Annotated[str, typer.Option(help="Of the model.")] = "en",
) -> None:
    """Write a bundle: weights, verifier, thresholds, a trace that proves them, a model card."""
    from trainer.export import export as write
    from trainer.runtime.bundle import Defaults

    given = _kinds(hearing=hearing, answering=answering, speaking=speaking)
    given |= {"voice": voice_of(voice)} if voice else {}
    made = write(run, out, name=name, data=data, defaults=Defaults(language=language, **given))
    typer.echo(f"the bundle is in {made.folder}; python -m trainer serve {made.folder}")


def replay(
    bundle: Bundle,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A sound file, or a dataset.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Logs, two-channel sound, figures.")] = None,
    mode: Mode = "relay",
    speed: Annotated[
        Literal["real", "fast"], typer.Option(help="fast: a clock that jumps; computing takes no time on it.")
    ] = "real",
    turn_taking: Annotated[
        Literal["model", "recorded"], typer.Option(help="recorded: the floor goes as in the dataset.")
    ] = "model",
    trigger: Trigger = "voice",
    follow: Annotated[
        Literal["hold", "text"], typer.Option(help="What the model is told of the slow path's words.")
    ] = "text",
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Of a dataset.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Conversations at most.")] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Conversations side by side.")] = 1,
    hearing: Hearing = None,
    answering: Answering = None,
    speaking: Speaking = None,
    endpointing: Endpointing = None,
    words: Words = None,
    ungated: Ungated = False,
    weights: Weights = "float32",
    threads: Threads = 1,
    device: Device = "cpu",
) -> None:
    """Play recorded users to the runtime: event logs, what was said, latencies, margins, turn-taking."""
    from trainer.replay.command import Options

    options = Options(
        source=source,
        split=split,
        limit=limit,
        mode=mode,
        turn_taking=turn_taking,
        trigger=trigger,
        follow=follow,
        speed=speed,
        at_once=at_once,
    )
    wishes = _kinds(hearing=hearing, answering=answering, speaking=speaking, endpointing=endpointing)
    wishes |= {"words": words, "gated": not ungated, "weights": weights, "threads": threads, "sessions": at_once}
    _replay(bundle, options, out, {"device": device, **wishes})


def _replay(bundle: str, options: Any, out: Path | None, wishes: dict[str, Any]) -> None:
    from trainer.replay.command import replay as run
    from trainer.replay.command import table
    from trainer.runtime.relaying import Relay

    def opened(jumping: bool) -> Relay:
        return Relay.from_pretrained(bundle, inline=jumping, **wishes)

    found = run(opened, options, out, lambda line: typer.echo(line, err=True))
    typer.echo("\n".join(table(found)))
    if out is not None:
        typer.echo(f"logs and sound are in {out}")


def serve(
    bundle: Bundle,
    host: Annotated[str, typer.Option(help="Beyond loopback a token is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8765,
    mode: Mode = "relay",
    trigger: Trigger = "voice",
    sessions: Annotated[int, typer.Option(min=1, help="At the same time, at most.")] = 4,
    cert: Annotated[str | None, typer.Option(metavar="FILE", help="PEM certificate, for TLS.")] = None,
    key: Annotated[str | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    token_variable: Annotated[
        str, typer.Option(metavar="NAME", help="The environment variable that holds the bearer token.")
    ] = "RELAY_TOKEN",
    origin: Annotated[
        list[str] | None, typer.Option(help="Of pages that may connect, beside the server's own.")
    ] = None,
    hearing: Hearing = None,
    answering: Answering = None,
    speaking: Speaking = None,
    endpointing: Endpointing = None,
    words: Words = None,
    ungated: Ungated = False,
    weights: Weights = "float32",
    threads: Threads = 1,
    device: Device = "cpu",
) -> None:
    """Serve a bundle: a page to talk to, and the OpenAI Realtime protocol at /v1/realtime."""
    import asyncio

    from trainer.runtime.relaying import Relay
    from trainer.runtime.server.app import Options
    from trainer.serving import serve_relay

    options = Options(
        host=host,
        port=port,
        mode=mode,
        max_sessions=sessions,
        certificate=cert,
        key=key,
        token_variable=token_variable,
        origins=tuple(origin or ()),
    )
    wishes = _kinds(hearing=hearing, answering=answering, speaking=speaking, endpointing=endpointing)
    wishes |= {"words": words, "gated": not ungated, "weights": weights, "threads": threads, "sessions": sessions}
    relay = Relay.from_pretrained(bundle, device=device, **wishes)
    asyncio.run(serve_relay(relay, options, _listening, trigger))


def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The model repository.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    tag: Annotated[str, typer.Option(help="Of the commit.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing; say what would be sent.")] = False,
) -> None:
    """Put a bundle on the Hugging Face Hub (token from HF_TOKEN)."""
    from trainer.publishing import publish as send

    found = send(bundle, repo, private=private, tag=tag, dry_run=dry_run)
    done = "would go to" if dry_run else "are at"
    typer.echo(f"{found.files} files, {found.nbytes / 1e6:.1f} MB, {done} {found.url}")


def kind_of(family: str, text: str) -> dict[str, Any]:
    """The mapping that an option stands for: a kind's name, or YAML. ValueError, one line, for anything else."""
    from trainer.runtime import backends

    raw = mapping(family, text, f"there are: {', '.join(backends.names(family))}, or {{kind: NAME, ...}}")
    backends.parse(family, raw)
    return raw


def voice_of(text: str) -> Voice:
    """The voice that YAML stands for. ValueError, one line, where it stands for none."""
    try:
        return Voice.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        where = error.errors()[0]["loc"] if isinstance(error, ValidationError) else ()
        raise ValueError(f"voice: {text!r} is no voice {where}; give an entry of a voices manifest") from None


def _kinds(**given: str | None) -> dict[str, Any]:
    return {family: kind_of(family, text) for family, text in given.items() if text}


def _listening(url: str) -> None:
    typer.echo(
        f"open {url} and talk; clients of the Realtime protocol connect to {url.replace('http', 'ws', 1)}v1/realtime"
    )


COMMANDS = (export, replay, serve, publish)
