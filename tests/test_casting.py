"""Laws of casting: a collection of voices becomes a manifest, the same one however the work is done."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from datagen import kinds
from datagen.build import BuildError, Interrupted
from datagen.casting import Casting, cast, split_of
from datagen.core.types import SPLITS, Split
from datagen.files import ASIDE, Folder
from datagen.recipe import voice_manifest
from datagen.stages import prompts
from datagen.stages.prompts import Config
from datagen.tasks import Inline, Stop, Task
from tests.voices.talking import known_asr, write_voxceleb

__all__ = ["known_asr"]

PEOPLE = 5
SPLIT: dict[Split, float] = {"train": 0.5, "validation": 0.25, "test": 0.25}


@pytest.fixture(scope="module")
def vox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five people who can be cast, and one who has too little."""
    root = tmp_path_factory.mktemp("vox")
    write_voxceleb(root, PEOPLE)
    for path in sorted((root / "wav/id10005").rglob("*.wav"))[1:]:
        path.unlink()
        path.with_suffix(".json").unlink()
    return root


@pytest.fixture
def config(vox: Path, known_asr: str) -> Config:
    collection = kinds.parse("voices", {"kind": "voxceleb", "path": str(vox)})
    asr = kinds.parse("asr", {"kind": known_asr, "path": str(vox)})
    return Config(collection=collection, asr=asr, people_per_shard=1)


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each person was worked on."""
    count: Counter[str] = Counter()
    real = prompts.process

    def counted(person: Any, *rest: Any) -> Any:
        count[person.id] += 1
        return real(person, *rest)

    monkeypatch.setattr(prompts, "process", counted)
    return count


class Backwards(Inline):
    """Many workers at once, of which the last is the fastest."""

    window = 99

    def next(self) -> tuple[Task, Any]:
        self._tasks.insert(0, self._tasks.pop())
        return super().next()


class Dying(Inline):
    """Is killed when so many shards are done."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def next(self) -> tuple[Task, Any]:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        return super().next()


def contents(out: Path) -> dict[str, bytes]:
    """Everything casting leaves for its user."""
    files = [out / "voices.yaml", *sorted((out / "voices").glob("*"))]
    return {str(path.relative_to(out)): path.read_bytes() for path in files if path.is_file()}


def done(config: Config, out: Path, **more: Any) -> Casting:
    return cast(config, str(out / "voices.yaml"), more.pop("executor", Inline()), splits=SPLIT, **more)


def test_a_manifest_that_a_recipe_can_use(tmp_path: Path, config: Config) -> None:
    casting = done(config, tmp_path)
    found = voice_manifest(str(tmp_path / "voices.yaml"))
    assert [v.id for v in found] == [v.id for v in casting.voices] == [f"id1000{n}" for n in range(1, 5)]
    for voice in found:
        assert len(voice.prompts) == 3
        assert voice.params["gender"] in ("m", "f")
        assert "not licensed" in voice.licence
        assert "not asked" in voice.consent
        for prompt in voice.prompts:
            content = Path(prompt.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == prompt.sha256
            assert soundfile.info(prompt.path).duration == pytest.approx(prompt.seconds, abs=1e-3)
    assert [v.prompts[0].path for v in casting.voices] == [f"voices/{v.id}-1.wav" for v in casting.voices]
    assert sum(casting.counts().values()) == len(found)


def test_everyone_is_cast_or_refused_with_a_reason(tmp_path: Path, config: Config) -> None:
    casting = done(config, tmp_path)
    assert [r["id"] for r in casting.rejected] == ["id10005"]
    assert len(casting.voices) + len(casting.rejected) == PEOPLE
    lines = (tmp_path / "voices/rejected.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(casting.rejected)
    assert "fewer than min_recordings" in casting.rejected[0]["reason"]


def test_the_order_of_the_work_changes_nothing(tmp_path: Path, config: Config) -> None:
    done(config, tmp_path / "one")
    done(config, tmp_path / "many", executor=Backwards())
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_the_size_of_a_shard_changes_no_voice(tmp_path: Path, config: Config) -> None:
    one = done(config, tmp_path / "one")
    other = done(config.model_copy(update={"people_per_shard": 3}), tmp_path / "other")
    assert one.voices == other.voices


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_killed_casting_goes_on_where_it_was(
    tmp_path: Path, config: Config, worked: Counter[str], after: int
) -> None:
    done(config, tmp_path / "whole")
    worked.clear()
    with pytest.raises(KeyboardInterrupt):
        done(config, tmp_path / "killed", executor=Dying(after))
    assert not (tmp_path / "killed/voices.yaml").exists()
    done(config, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert set(worked.values()) == {1}


@pytest.mark.parametrize("name", ["id10003-2.wav", "rejected.jsonl", "voices.yaml"])
def test_a_kill_while_writing_leaves_no_manifest(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    done(config, tmp_path / "whole")
    real = Folder.write

    def dying(self: Folder, wanted: str, *rest: Any, **more: Any) -> None:
        if wanted == name:
            raise KeyboardInterrupt
        real(self, wanted, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "write", dying)
        with pytest.raises(KeyboardInterrupt):
            done(config, tmp_path / "killed")
    assert not (tmp_path / "killed/voices.yaml").exists()
    done(config, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not [p for p in (tmp_path / "killed").rglob("*") if ASIDE.fullmatch(p.name)]


def test_a_spoilt_prompt_is_written_again(tmp_path: Path, config: Config, worked: Counter[str]) -> None:
    done(config, tmp_path)
    before = contents(tmp_path)
    prompt = tmp_path / "voices/id10001-1.wav"
    prompt.write_bytes(prompt.read_bytes()[:-2] + b"xx")
    (tmp_path / "voices/id10002-1.wav").unlink()
    worked.clear()
    done(config, tmp_path)
    assert contents(tmp_path) == before
    assert not worked


def test_another_seed_moves_speakers_and_hears_nobody_again(
    tmp_path: Path, config: Config, worked: Counter[str]
) -> None:
    first = done(config, tmp_path)
    worked.clear()
    seeds = [done(config, tmp_path, seed=seed) for seed in range(2, 8)]
    assert not worked
    assert len({tuple(v.split for v in casting.voices) for casting in (first, *seeds)}) > 1
    for casting in seeds:
        assert [v.prompts for v in casting.voices] == [v.prompts for v in first.voices]


def test_what_changes_a_prompt_is_another_casting(tmp_path: Path, config: Config, worked: Counter[str]) -> None:
    done(config, tmp_path)
    worked.clear()
    casting = done(config.model_copy(update={"short": 0}), tmp_path)
    assert set(worked.values()) == {1}
    assert {len(v.prompts) for v in casting.voices} == {2}


def test_a_manifest_never_names_prompts_of_another_casting(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = config.model_copy(update={"long": 1})
    done(other, tmp_path / "fresh")
    done(config, tmp_path / "changed")
    (tmp_path / "changed/voices/mine-1.wav").write_bytes(b"not a voice of this collection")
    with monkeypatch.context() as patch:
        patch.setattr("datagen.casting._holds", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            done(other, tmp_path / "changed")
    assert not (tmp_path / "changed/voices.yaml").exists()
    done(other, tmp_path / "changed")
    assert contents(tmp_path / "changed").pop("voices/mine-1.wav")
    assert {n: c for n, c in contents(tmp_path / "changed").items() if "mine" not in n} == contents(tmp_path / "fresh")


ids = st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True)


@given(voice=ids, seed=st.integers(0, 5), weights=st.lists(st.floats(0, 10), min_size=3, max_size=3))
def test_a_split_is_a_function_of_the_speaker_alone(voice: str, seed: int, weights: list[float]) -> None:
    splits: dict[Split, float] = dict(zip(SPLITS, weights, strict=True))
    if not sum(weights) > 1e-6:
        return
    found = split_of(voice, splits, seed)
    assert splits[found] > 0
    assert split_of(voice, {name: 4 * share for name, share in splits.items()}, seed) == found


def test_splits_have_about_their_shares() -> None:
    found = Counter(split_of(f"id{n}", {"train": 0.8, "validation": 0.1, "test": 0.1}, 1) for n in range(4_000))
    assert found["train"] == pytest.approx(3_200, abs=120)
    assert found["validation"] == pytest.approx(400, abs=80)


def test_nobody_cast_is_an_error_that_says_where_to_look(tmp_path: Path, config: Config) -> None:
    with pytest.raises(BuildError, match=r"nobody could be cast; see .*rejected\.jsonl"):
        done(config.model_copy(update={"asr": None}), tmp_path)
    assert "no recogniser" in (tmp_path / "voices/rejected.jsonl").read_text()
    assert not (tmp_path / "voices.yaml").exists()


def test_a_machine_that_is_gone_ends_the_run(tmp_path: Path, config: Config, vox: Path, known_asr: str) -> None:
    asr = kinds.parse("asr", {"kind": known_asr, "path": str(vox), "gone": True})
    with pytest.raises(BuildError, match=r"prompts/\d: the recogniser does not answer.* run the same command"):
        done(config.model_copy(update={"asr": asr, "people_per_shard": 9}), tmp_path)


def test_the_user_may_stop_and_go_on(tmp_path: Path, config: Config) -> None:
    stop = Stop()

    class Stopping(Inline):
        def next(self) -> tuple[Task, Any]:
            stop.asked = True
            return super().next()

    with pytest.raises(Interrupted, match="goes on from here"):
        done(config, tmp_path, executor=Stopping(), stop=stop)
    assert len(done(config, tmp_path).voices) == 4


class Telling:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.expected: list[tuple[str, int]] = []
        self.advanced: list[int] = []

    def expect(self, stage: str, shards: int) -> None:
        self.expected.append((stage, shards))

    def advance(self, stage: str, report: Any) -> None:
        self.advanced.append(report.shard)


def test_progress_counts_what_was_done_before(tmp_path: Path, config: Config) -> None:
    with pytest.raises(KeyboardInterrupt):
        done(config, tmp_path, executor=Dying(2))
    progress = Telling()
    done(config, tmp_path, progress=progress)
    assert progress.expected == [("prompts", 4)]
    assert sorted(progress.advanced) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("out", "splits", "reason"),
    [
        ("voices", SPLIT, "give the name of a .yaml file"),
        ("voices.yaml", {}, "at least one share above 0"),
        ("voices.yaml", {"train": 0.0}, "at least one share above 0"),
        ("voices.yaml", {"train": -1.0, "test": 2.0}, "none below"),
    ],
)
def test_arguments_that_cannot_be_are_told(
    tmp_path: Path, config: Config, out: str, splits: dict[Split, float], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        cast(config, str(tmp_path / out), Inline(), splits=splits)
