"""Recipes: what a file, its bases and overrides mean, and one helpful line for everything that is wrong with them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from datagen.blueprint import draw_up
from datagen.identity import digest, identity_of
from datagen.layers import layered
from datagen.recipe import Recipe, RecipeError, dump, language, load, voice_manifest
from datagen.sources import jsonl
from tests.helpers import ROOT
from tests.tiny import voices, write_recipe


def refusal(recipe: Path, *overrides: str) -> str:
    """The one line that drawing up a recipe ends in."""
    with pytest.raises(RecipeError) as caught:
        draw_up(load(str(recipe), overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def voice_file(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> dict[str, str]:
    """A changed voice manifest, as a change of the tiny recipe."""
    found = copy.deepcopy(voices())
    result = change(found)
    (folder / "other.yaml").write_text(yaml.safe_dump({"voices": found if result is None else result}))
    return {"voices": "other.yaml"}


def test_a_recipe_says_what_it_says_and_the_rest_is_default(tmp_path: Path) -> None:
    recipe = load(str(write_recipe(tmp_path)))
    assert recipe.name == "tiny"
    assert recipe.profile == "polite"
    assert recipe.annotator.kind == "rules"
    assert isinstance(recipe.source, jsonl.Config)
    assert recipe.source.path == str(tmp_path / "dialogues.jsonl")
    assert recipe.voices == str(tmp_path / "voices.yaml")


def test_the_resolved_copy_means_the_same(tmp_path: Path) -> None:
    recipe = load(str(write_recipe(tmp_path)))
    copied = tmp_path / "elsewhere" / "copy.yaml"
    copied.parent.mkdir()
    copied.write_text(dump(recipe))
    assert load(str(copied)) == recipe


@pytest.mark.parametrize("word", ["1e5", "0o17", "012", "on", "null", "12:30", "~", "1_000", ".5", "=", "<<", "é: #"])
def test_the_resolved_copy_keeps_words_that_look_like_something_else(tmp_path: Path, word: str) -> None:
    path = write_recipe(tmp_path)
    keys = yaml.safe_load(path.read_text())
    keys["source"]["licence"] = word
    recipe = load(str(path)).model_copy(update={"source": jsonl.Config.model_validate(keys["source"])})
    path.write_text(dump(recipe))
    again = load(str(path)).source
    assert isinstance(again, jsonl.Config)
    assert again.licence == word


# -- mistakes in the file --------------------------------------------------------------------------------------------

FILES = {
    "a key twice": ("{good}name: other\n", r"case\.yaml:\d+: key 'name' appears twice \(first on line \d+\); keep one"),
    "an unknown key": ("{good}conversatons: 3\n", "conversatons: there is no such key; did you mean conversations"),
    "a strange key": ("{good}zzz: 3\n", "zzz: there is no such key; there are: .*conversations.*voices"),
    "an unknown key inside": ("{good}margins: {{min: 3}}\n", "margins.min: there is no such key; did you mean min_s"),
    "a list": ("- a\n- b\n", r"case\.yaml:1: the file holds a list; write a mapping"),
    "nothing": ("", r"case\.yaml:1: the file holds nothing; write a mapping"),
    "a word": ("hello", r"case\.yaml:1: the file holds only 'hello'; write a mapping"),
    "a tag": ("name: !!python/object:os.system x\n", r"case\.yaml:1: .*tag"),
    "broken YAML": ("name: [a\n", r"case\.yaml:2: "),
    "a tabulator": ("name:\n\tx: 1\n", r"case\.yaml:2: "),
    "no base": ("base: nowhere.yaml\n", r"nowhere\.yaml: no such recipe; in .* there are: .*tiny\.yaml"),
    "a base that is a list": ("base: [a.yaml]\n", r"base: give the path of one recipe \(given: \['a.yaml'\]\)"),
    "itself as base": ("base: case.yaml\n", r"case\.yaml: base: the file stands above itself; name another"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_mistake_in_the_file(tmp_path: Path, name: str) -> None:
    text, message = FILES[name]
    case = tmp_path / "case.yaml"
    case.write_text(text.format(good=write_recipe(tmp_path).read_text()))
    with pytest.raises(RecipeError, match=message) as caught:
        load(str(case))
    assert str(caught.value).startswith(str(case))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    case = tmp_path / "case.yaml"
    case.write_bytes(b"name: \xff\n")
    assert "cannot be read as UTF-8" in refusal(case)


def test_no_such_recipe_lists_its_neighbours(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    assert refusal(tmp_path / "tinny.yaml").endswith(f"no such recipe; in {tmp_path} there are: tiny.yaml, voices.yaml")
    assert "no such recipe" in refusal(tmp_path / "no" / "folder.yaml")


NOT_THERE = {"path": "nowhere", "licence": "CC0-1.0", "language": "en"}
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong type": ({"conversations": "many"}, r"conversations: .*integer.* \(given: 'many'\)"),
    "too few": ({"conversations": 0}, r"conversations: .*greater than or equal to 1 \(given: 0\)"),
    "a seed that no column holds": ({"seed": 2**63}, "seed: .*less than"),
    "an unknown kind": ({"tts": {"kind": "espek"}}, "tts: unknown kind 'espek' of tts; there are: .*espeak"),
    "no kind": ({"tts": {}}, "tts: .*needs a key 'kind'; there are: .*espeak"),
    "no mapping": ({"tts": 3}, r"tts: give a mapping with a key 'kind' \(given: 3\)"),
    "a missing key": ({"tts": None}, "tts: this key is missing"),
    "an unknown key of a kind": ({"tts": {"kind": "espeak", "pitch": 1}}, "tts.espeak: pitch: there is no such key; "),
    "an unknown language": ({"language": "xx"}, "language 'xx' is unknown; there are: .*en"),
    "a language as a path": ({"language": "../lang/en"}, "language '../lang/en' is unknown"),
    "an unknown profile": ({"profile": "rude"}, r"profile: .*'paper', 'polite' or 'natural' \(given: 'rude'\)"),
    "no voices file": ({"voices": "no.yaml"}, r"voices: there is no file .*no\.yaml; name a voice manifest"),
    "no corpus": ({"source": {"kind": "jsonl", **NOT_THERE}}, "source.jsonl: path: '.*nowhere' does not exist; give"),
    "no noise": (
        {"noise": {"kind": "folder", "path": "nowhere", "licence": "CC0-1.0"}},
        "noise.folder: path: there is no folder '.*nowhere'; give",
    ),
    "a kind twice": ({"phenomena": ["pause", {"kind": "pause"}]}, "phenomena: pause stands twice; give each kind once"),
    "negative shares": ({"splits": {"train": -1}}, "splits: give at least one share above 0, none below"),
    "shares without a number": ({"splits": {"train": float("nan")}}, "splits: give at least one share above 0"),
    "endless shares": ({"splits": {"train": float("inf")}}, "splits: give at least one share above 0"),
    "no share": ({"splits": {}}, "splits: give at least one share above 0"),
    "an unknown split": ({"splits": {"dev": 1}}, r"splits.dev.*'train', 'validation' or 'test' \(given: 'dev'\)"),
    "a name that is a path": ({"name": "a/b"}, r"name: .*pattern.* \(given: 'a/b'\)"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_mistake_in_a_value(tmp_path: Path, name: str) -> None:
    change, message = CHANGES[name]
    found = refusal(write_recipe(tmp_path, change))
    assert re.search(message, found), found


def test_a_source_without_a_dialogue(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, lines=[])
    (tmp_path / "dialogues.jsonl").write_text("\n\n")
    assert refusal(path) == "source.jsonl: holds no dialogue; name another one"


VOICES: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "no list": (lambda found: 5, "voices: .*a list"),
    "a voice without an id": (lambda found: found[2].pop("id") and None, "voices.2.id: this key is missing"),
    "an unknown key": (lambda found: found[0].update(pich=3), "voices.0.pich: there is no such key"),
    "a voice twice": (lambda found: found.append({**found[0], "split": "test"}), "en-train-m1 stands twice"),
    "too few in a split": (lambda found: found.pop(0) and None, "fewer than two en voices for the train split; add"),
    "another language": (lambda found: [v.update(language="de") for v in found] and None, "fewer than two en voices"),
}


@pytest.mark.parametrize("name", VOICES)
def test_a_mistake_in_the_voices(tmp_path: Path, name: str) -> None:
    change, message = VOICES[name]
    found = refusal(write_recipe(tmp_path, voice_file(tmp_path, change)))
    assert re.search(message, found), found
    assert "other.yaml" in found


def test_a_split_without_a_share_needs_no_voices(tmp_path: Path) -> None:
    only_train = voice_file(tmp_path, lambda found: [v for v in found if v["split"] == "train"])
    draw_up(load(str(write_recipe(tmp_path, {**only_train, "splits": {"train": 1, "test": 0}}))))


def test_the_languages_there_are_can_be_read() -> None:
    assert language("en").code == "en"
    assert language("es").code == "es"


def test_a_manifest_may_say_more_than_its_voices(tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(yaml.safe_dump({"title": "ours", "voices": voices()}))
    assert len(voice_manifest(str(path))) == len(voices())


# -- overrides -------------------------------------------------------------------------------------------------------


def test_overrides_change_keys_lists_and_kinds(tmp_path: Path) -> None:
    sets = [
        "conversations=5",
        "margins.min_s=2.5",
        "phenomena.pause.per_minute=7",
        "phenomena.0.probability=0.3",
        "tts=espeak",
        "noise.clip_seconds=3",
        "splits={train: 1}",
        "source.licence=no",
    ]
    recipe = load(str(write_recipe(tmp_path)), sets).model_dump()
    assert recipe["conversations"] == 5
    assert recipe["margins"]["min_s"] == 2.5
    assert recipe["phenomena"][1]["per_minute"] == 7
    assert recipe["phenomena"][0]["probability"] == 0.3
    assert recipe["noise"]["clip_seconds"] == 3
    assert recipe["splits"] == {"train": 1}
    assert recipe["source"]["licence"] == "no"


def test_an_override_reaches_into_a_kind_given_as_a_word(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, {"phenomena": ["backchannel", "pause"]})
    recipe = load(str(path), ["phenomena.pause.per_minute=7"]).model_dump()
    assert [p["kind"] for p in recipe["phenomena"]] == ["backchannel", "pause"]
    assert recipe["phenomena"][1]["per_minute"] == 7


def test_an_override_can_switch_noise_on_and_off(tmp_path: Path) -> None:
    assert load(str(write_recipe(tmp_path)), ["noise=null"]).noise is None
    quiet = write_recipe(tmp_path, {"noise": None})
    assert load(str(quiet), ["noise=null", "noise.kind=synthetic"]).noise is not None


def test_overrides_do_not_change_each_others_lists(tmp_path: Path) -> None:
    path = str(write_recipe(tmp_path))
    assert load(path, ["phenomena=[pause]"]) != load(path)
    assert load(path) == load(path)


OVERRIDES = {
    "conversations": "--set conversations: write it as key=value",
    "=3": "--set =3: write it as key=value",
    "a..b=1": "--set a..b=1: write it as key=value",
    "conversations=": r"conversations: .* \(given: None\)",
    "conversations=[1": r"--set conversations=\[1: the value is not YAML",
    "conversations=a: b": "--set conversations=a: b: the value is not YAML",
    "seed=!!python/name:os.system": "--set seed=.*: the value is not YAML",
    "phenomena.pause.bad=9": "phenomena.pause: bad: there is no such key; there are: .*per_minute",
    "phenomena.nope.x=1": "no item 'nope' in the list; there are: backchannel, pause, interruption",
    "phenomena.7.x=1": "no item '7' in the list",
    "phenomena.-1=pause": "no item '-1' in the list",
    "phenomena.0=9": r"phenomena: give a mapping with a key 'kind' \(given: 9\)",
    "phenomena=3": r"phenomena: give a mapping with a key 'kind' \(given: 3\)",
    "tts.kind=espek": "tts: unknown kind 'espek'",
    "name.x=3": "'name' is the single value 'tiny', it has no keys",
    "nonsense=1": "nonsense: there is no such key; did you mean noise",
    "base=other.yaml": "base: there is no such key",
    "noise.kind=folder": "noise.folder: ",
    "voices=~nobody-of-this-name/v.yaml": "path '~nobody-of-this-name/v.yaml': .*write it out",
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_a_mistake_in_an_override(tmp_path: Path, override: str) -> None:
    found = refusal(write_recipe(tmp_path), override)
    assert re.search(OVERRIDES[override], found), found


@given(st.text(max_size=30))
def test_no_override_ends_in_anything_but_a_recipe_or_a_line(text: str) -> None:
    with suppress(RecipeError):
        assert isinstance(load(str(ROOT / "recipes" / "assistant.yaml"), [text]), Recipe)


# -- bases -----------------------------------------------------------------------------------------------------------


def test_a_recipe_is_laid_over_its_base_key_by_key(tmp_path: Path) -> None:
    write_recipe(tmp_path / "base")
    (tmp_path / "child.yaml").write_text(
        "base: base/tiny.yaml\nname: child\nsource: {licence: CC-BY-4.0}\nphenomena: [pause]\n"
        "noise: null\ntts: {max_seconds: 9}\nmargins: {max_s: 60}\n"
    )
    recipe = load(str(tmp_path / "child.yaml"))
    assert recipe.name == "child"
    assert recipe.conversations == 12
    assert isinstance(recipe.source, jsonl.Config)
    assert recipe.source.licence == "CC-BY-4.0"
    assert recipe.source.path == str(tmp_path / "base" / "dialogues.jsonl")
    assert [p.kind for p in recipe.phenomena] == ["pause"]
    assert recipe.noise is None
    assert recipe.margins.max_s == 60
    assert recipe.margins.min_s == 3


def test_another_kind_replaces_the_whole_mapping(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    (tmp_path / "child.yaml").write_text("base: tiny.yaml\nsource: {kind: grammar}\n")
    assert layered(str(tmp_path / "child.yaml"))["source"] == {"kind": "grammar"}


def test_bases_may_have_bases_but_no_circle(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    (tmp_path / "b.yaml").write_text("base: tiny.yaml\nseed: 2\nprofile: paper\n")
    (tmp_path / "c.yaml").write_text("base: b.yaml\nseed: 3\n")
    assert (load(str(tmp_path / "c.yaml")).seed, load(str(tmp_path / "c.yaml")).profile) == (3, "paper")
    (tmp_path / "tiny.yaml").write_text("base: c.yaml\n")
    assert "the file stands above itself" in refusal(tmp_path / "c.yaml")


# -- identity --------------------------------------------------------------------------------------------------------


def test_an_identity_holds_contents_instead_of_paths(tmp_path: Path) -> None:
    here, there = (load(str(write_recipe(tmp_path / name))) for name in ("here", "there"))
    assert here.source != there.source
    assert digest(here.source) == digest(there.source)
    assert "path" not in identity_of(here.source)


def test_an_identity_changes_with_every_value(tmp_path: Path) -> None:
    path = str(write_recipe(tmp_path))
    sets = ["seed=2", "margins.min_s=2", "phenomena=[]", "noise.clip_seconds=3", "source.licence=x", "levels={}"]
    digests = [digest(load(path, [one])) for one in sets]
    assert digests[-1] == digest(load(path))
    assert len(set(digests)) == len(sets)
