"""Laws of VoxCeleb as a collection of voices, over small trees in its two layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from datagen import kinds
from datagen.identity import digest
from datagen.voices import voxceleb
from datagen.voices.voxceleb import Config, VoxCeleb, edition, find, fingerprint, make, needs, read_table

ONE = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
TWO = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set\n"


def write(root: Path, *names: str) -> None:
    """Files that only have to be there: the collection opens no recording."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def takes(folder: str, count: int, suffix: str = "wav", videos: Sequence[str] = ("-abc", "x_yz")) -> list[str]:
    return [f"{folder}/{videos[n % len(videos)]}/{n:05d}.{suffix}" for n in range(count)]


def one(root: Path) -> None:
    """VoxCeleb1: an Irishman, an Indian and an American of whom there is little."""
    write(root, *takes("wav/id10001", 4), *takes("wav/id10002", 4), *takes("wav/id10004", 2))
    rows = ("id10001\tA\tm\tIreland\tdev", "id10002\tB\tm\tIndia\tdev", "id10004\tC\tf\tUSA\tdev")
    (root / "vox1_meta.csv").write_text(ONE + "\n".join(rows) + "\n")


def two(root: Path, suffix: str = "m4a") -> None:
    """VoxCeleb2: blanks around everything, as published."""
    write(root, *takes("dev/aac/id00012", 5, suffix), *takes("dev/aac/id00022", 3, suffix))
    (root / "vox2_meta.csv").write_text(TWO + "id00012 ,n000012 ,m ,dev \nid00022 ,n000022 ,f ,dev \n")


def source(root: Path, **fields: object) -> VoxCeleb:
    return make(Config.model_validate({"kind": "voxceleb", "path": str(root), **fields}))


def ids(root: Path, **fields: object) -> list[str]:
    return [person.id for person in source(root, **fields).people()]


def test_the_first_edition(tmp_path: Path) -> None:
    one(tmp_path)
    collection = source(tmp_path, nationalities=[], min_recordings=1)
    people = collection.people()
    assert [p.id for p in people] == ["id10001", "id10002", "id10004"]
    assert [getattr(p, "gender", "") for p in people] == ["m", "m", "f"]
    assert people[0].language == "en"
    assert "not licensed" in people[0].licence
    assert "not asked" in people[0].consent
    paths = [r.path for r in people[0].recordings]
    assert paths == sorted(str(tmp_path / name) for name in takes("wav/id10001", 4))
    assert all(r.text == "" for p in people for r in p.recordings)
    assert [p.id for p in people[1:]] == ["id10002", "id10004"]
    assert collection.problems() == []


def test_english_is_guessed_by_nationality(tmp_path: Path) -> None:
    one(tmp_path)
    assert ids(tmp_path, min_recordings=1) == ["id10001", "id10004"]
    assert ids(tmp_path, nationalities=["india"]) == ["id10002"]
    with pytest.raises(ValueError, match="nationalities: name those that speak language 'hi'"):
        source(tmp_path, language="hi")
    assert source(tmp_path, language="hi", nationalities=["India"]).people()[0].language == "hi"
    (tmp_path / "vox1_meta.csv").unlink()
    with pytest.raises(ValueError, match=r"no vox1_meta\.csv .*nationalities: \[\]"):
        source(tmp_path).people()
    assert ids(tmp_path, nationalities=[]) == ["id10001", "id10002"]


def test_who_has_few_recordings_is_a_problem(tmp_path: Path) -> None:
    one(tmp_path)
    collection = source(tmp_path)
    assert [p.id for p in collection.people()] == ["id10001"]
    assert collection.problems() == ["id10004: has 2 recordings, fewer than min_recordings 3"]


def test_the_second_edition_must_be_converted_first(tmp_path: Path) -> None:
    two(tmp_path)
    with pytest.raises(ValueError, match=r"nobody .*id00012: 5 files .*\.m4a.*ffmpeg -i"):
        source(tmp_path).people()
    write(tmp_path, *takes("dev/wav/id00012", 5))
    collection = source(tmp_path)
    (person,) = collection.people()
    assert {Path(r.path).suffix for r in person.recordings} == {".wav"}
    assert collection.problems() == [f"id00022: 3 files cannot be read here (.m4a); convert each: {voxceleb._CONVERT}"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "WAV"])
def test_converted_files_may_lie_beside_or_instead(tmp_path: Path, suffix: str) -> None:
    two(tmp_path, suffix)
    write(tmp_path, *takes("dev/aac/id00012", 5, "m4a"))
    people = source(tmp_path).people()
    assert [(p.id, len(p.recordings), getattr(p, "gender", "")) for p in people] == [
        ("id00012", 5, "m"),
        ("id00022", 3, "f"),
    ]


def test_editions_are_told_apart_by_the_ids(tmp_path: Path) -> None:
    one(tmp_path)
    two(tmp_path, "flac")
    assert [edition(i) for i in ("id00012", "id09272", "id10001", "id11251")] == [2, 2, 1, 1]
    assert ids(tmp_path) == ["id00012", "id00022", "id10001"]
    assert ids(tmp_path, edition=1) == ["id10001"]
    assert ids(tmp_path, edition=2) == ["id00012", "id00022"]


def test_the_ids_may_lie_a_few_levels_down(tmp_path: Path) -> None:
    write(tmp_path, *takes("vox2/dev/aac/id00012", 3), *takes("vox2/test/aac/id00017", 3))
    write(tmp_path, "vox2/txt/id00012/-abc/00000.txt", "vox2/dev/txt/id00099/-abc/00000.txt")
    assert ids(tmp_path) == ["id00012", "id00017"]
    write(tmp_path, *takes("a/b/c/d/id00020", 3))
    assert ids(tmp_path) == ["id00012", "id00017"]


def test_one_person_in_two_folders_is_one(tmp_path: Path) -> None:
    write(tmp_path, *takes("dev/wav/id00012", 2), *takes("more/wav/id00012", 2, videos=("other",)))
    (person,) = source(tmp_path).people()
    assert len(person.recordings) == 4


def test_recordings_looked_at_come_from_many_videos(tmp_path: Path) -> None:
    videos = [f"video{n}" for n in range(10)]
    write(tmp_path, *takes("wav/id00012", 100, videos=videos))
    (person,) = source(tmp_path, most_recordings=10).people()
    assert {Path(r.path).parent.name for r in person.recordings} == set(videos)


@pytest.mark.parametrize(
    "text",
    [
        ONE + "id10001\tA\tm\tNew Zealand\tdev\n",
        "\ufeffID,Class_name,Gender,Nationality,Set\nid10001,A,m,New Zealand,dev\n".lstrip("\ufeff"),
        "VoxCeleb1 ID \t VGGFace1 ID\tGender \t Nationality\tSet\r\nid10001 \tA \tM \tNew_Zealand \tdev\r\n",
    ],
)
def test_tables_as_published_and_as_resaved(text: str) -> None:
    ((id_, told),) = read_table(text)
    assert (id_, told.gender, told.nationality.replace("_", " ")) == ("id10001", "m", "New Zealand")


def test_the_folder_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(voxceleb.VARIABLE, raising=False)
    for refused in (make, fingerprint):
        with pytest.raises(ValueError, match=r"VOXCELEB_HOME is not set; get VoxCeleb"):
            refused(Config())
    assert [(n.name, n.found) for n in needs(Config())] == [("VoxCeleb", "")]
    one(tmp_path)
    monkeypatch.setenv(voxceleb.VARIABLE, str(tmp_path))
    assert len(make(Config()).people()) == 1
    found = {need.name: need.found for need in needs(Config())}
    assert found["VoxCeleb"].startswith("3 people")
    assert found["vox1_meta.csv"] == "vox1_meta.csv"


def test_needs_name_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path, *takes("wav/id10001", 3))
    missing = [need for need in needs(Config(path=str(tmp_path))) if not need.found]
    assert [need.name for need in missing] == ["vox1_meta.csv"]
    assert "nationalities: []" in missing[0].remedy
    assert [need.found for need in needs(Config(path=str(tmp_path / "nowhere")))] == [""]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has nobody of VoxCeleb"):
        source(tmp_path).people()
    with pytest.raises(ValueError, match="no folder"):
        source(tmp_path / "nowhere")


def test_the_identity_holds_names_sizes_and_tables(tmp_path: Path) -> None:
    for place in ("one", "two", "renamed", "longer", "retold", "newcomer"):
        one(tmp_path / place)
    (tmp_path / "renamed/wav/id10001/-abc/00000.wav").rename(tmp_path / "renamed/wav/id10001/-abc/00009.wav")
    (tmp_path / "longer/wav/id10001/-abc/00000.wav").write_bytes(b"longer than it was before, by a lot of bytes")
    (tmp_path / "retold/vox1_meta.csv").write_text(ONE + "id10001\tA\tm\tUK\tdev\n")
    write(tmp_path / "newcomer", *takes("wav/id10005", 3))
    seen = {p.name: digest(kinds.parse("voices", {"kind": "voxceleb", "path": str(p)})) for p in tmp_path.iterdir()}
    assert seen["one"] == seen["two"]
    assert len(set(seen.values())) == 5


def test_people_and_tables_are_found_by_their_names(tmp_path: Path) -> None:
    one(tmp_path)
    tables, homes = find(source(tmp_path)._tree)
    assert tables == ["vox1_meta.csv"]
    assert homes == {i: [f"wav/{i}"] for i in ("id10001", "id10002", "id10004")}
