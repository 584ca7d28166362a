"""Laws of a folder of speakers as a collection of voices."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Voice
from datagen.identity import digest
from datagen.voices.folder import Config, Folder, make, needs


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def source(root: Path | str, **fields: object) -> Folder:
    said = {"licence": "CC-BY-4.0", "consent": "read for publication", "origin": "a corpus"}
    return make(Config.model_validate({"kind": "folder", "path": str(root), **said, **fields}))


def texts(root: Path | str, **fields: object) -> dict[str, list[str]]:
    return {person.id: [r.text for r in person.recordings] for person in source(root, **fields).people()}


LIBRI = {
    "train/84/121/84_121_1.wav": "sound",
    "train/84/121/84_121_1.original.txt": "Mr. Fox, 3 times",
    "train/84/121/84_121_1.normalized.txt": "Mister Fox,\n three times ",
    "train/84/122/84_122_1.flac": "sound",
    "train/84/122/84_122_1.txt": "plain text",
    "train/84/122/84_122_2.wav": "sound",
    "train/9/1/9_1_1.WAV": "sound",
    "speakers.tsv": "READER\tGENDER\tSUBSET\tNAME\n9\tM\ttrain\tNine\n84\tF\ttrain\tEighty Four\n",
}


def test_a_corpus_with_texts_beside_its_recordings(tmp_path: Path) -> None:
    write(tmp_path, LIBRI)
    collection = source(tmp_path / "train")
    people = collection.people()
    assert [(p.id, getattr(p, "gender", "")) for p in people] == [("84", "f"), ("9", "m")]
    assert [r.text for r in people[0].recordings] == ["Mister Fox, three times", "plain text", ""]
    assert people[0].recordings[0].path == str(tmp_path / "train/84/121/84_121_1.wav")
    assert (people[0].licence, people[0].consent, people[0].origin) == ("CC-BY-4.0", "read for publication", "a corpus")
    assert collection.problems() == []


@pytest.mark.parametrize(
    "table",
    [
        "LJ-1|Raw, 1 time|Raw, one time\nLJ-2|second|second",
        'file,text\nwavs/LJ-1.wav,"Raw, one time"\nwavs/LJ-2.wav,second',
        "file_name\tspeaker\tsentence\nLJ-1.wav\tx\tRaw, one time\nLJ-2.wav\tx\tsecond",
    ],
)
@pytest.mark.parametrize("where", ["metadata.csv", "wavs/metadata.csv"])
def test_a_table_of_texts(tmp_path: Path, table: str, where: str) -> None:
    write(tmp_path, {"wavs/LJ-1.wav": "sound", "wavs/LJ-2.wav": "sound", "wavs/LJ-3.wav": "sound", where: table})
    assert texts(tmp_path) == {"wavs": ["Raw, one time", "second", ""]}


def test_a_text_beside_the_recording_outranks_the_table(tmp_path: Path) -> None:
    write(tmp_path, {"a/1.wav": "sound", "a/1.txt": "beside", "metadata.csv": "1|of the table"})
    assert texts(tmp_path) == {"a": ["beside"]}


def test_a_recording_in_two_formats_is_one(tmp_path: Path) -> None:
    write(tmp_path, {"a/1.wav": "sound", "a/1.flac": "sound", "a/2.wav": "sound"})
    (person,) = source(tmp_path).people()
    assert [Path(r.path).name for r in person.recordings] == ["1.flac", "2.wav"]


def test_every_folder_is_a_person_or_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"good/1.wav": "s", "good/2.wav": "s", "few/1.wav": "s", "none/1.mp3": "s", "Zoë K/1.wav": "s"})
    collection = source(tmp_path, min_recordings=2)
    assert [p.id for p in collection.people()] == ["good"]
    assert dict(p.split(": ", 1) for p in collection.problems()) == {
        "few": "has 1 recordings, fewer than min_recordings 2",
        "none": "holds no .wav or .flac file",
        "Zoë K": "the name is no id; rename it to letters, digits and . _ + - alone",
    }


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,8}", fullmatch=True), min_size=1, max_size=6),
    most=st.integers(1, 4),
)
def test_people_stand_in_order_of_id_whatever_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], most: int
) -> None:
    root = tmp_path_factory.mktemp("people")
    for name in names:
        write(root, {f"{name}/{n}.wav": "s" for n in range(len(name))})
    people = source(root, prefix="p-", most_recordings=most).people()
    assert [p.id for p in people] == sorted(f"p-{name}" for name in names)
    for person in people:
        assert len(person.recordings) == min(most, len(person.id) - 2)
        Voice(id=person.id, language="en", split="train", origin="o", licence="l")


def test_folders_on_other_storage() -> None:
    memory = fsspec.filesystem("memory")
    for name, content in {"a/x/1.wav": b"sound", "a/x/1.txt": b"said"}.items():
        memory.pipe_file(f"/voices-test/{name}", content)
    try:
        (person,) = source("memory://voices-test").people()
        (recording,) = person.recordings
        assert (person.id, recording.text) == ("a", "said")
        with fsspec.open(recording.path, "rb") as file:
            assert file.read() == b"sound"  # type: ignore[union-attr]
    finally:
        memory.rm("/voices-test", recursive=True)


def test_what_the_speakers_agreed_to_must_be_said() -> None:
    for missing in ("licence", "consent", "origin"):
        fields = {"licence": "l", "consent": "c", "origin": "o"}
        del fields[missing]
        with pytest.raises(ValueError, match=missing):
            Config.model_validate({"kind": "folder", "path": "x", **fields})


def test_an_empty_or_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no speaker .*one folder of \.wav"):
        source(tmp_path).people()
    with pytest.raises(ValueError, match="no folder"):
        source(tmp_path / "nowhere")
    for path, found in ((tmp_path / "nowhere", ""), (tmp_path, "")):
        (need,) = needs(source(tmp_path).config.model_copy(update={"path": str(path)}))
        assert need.found == found
    write(tmp_path, {"a/1.wav": "s"})
    (need,) = needs(source(tmp_path).config)
    assert need.found.startswith("1 folders")


def test_the_identity_holds_names_sizes_and_tables(tmp_path: Path) -> None:
    changes = {
        "one": {},
        "two": {},
        "retold": {"train/84/122/84_122_1.txt": "another text"},
        "longer": {"train/84/122/84_122_2.wav": "longer sound"},
        "table": {"train/metadata.csv": "84_122_2|told"},
        "gender": {"speakers.tsv": "READER\tGENDER\n9\tF\n"},
    }
    for place, files in changes.items():
        write(tmp_path / place, {**LIBRI, **files})
    said = {"kind": "folder", "licence": "l", "consent": "c", "origin": "o"}
    seen = {name: digest(kinds.parse("voices", {**said, "path": str(tmp_path / name / "train")})) for name in changes}
    assert seen["one"] == seen["two"]
    assert len(set(seen.values())) == 5
