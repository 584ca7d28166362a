"""What a release leaves out: what the run has cost, folders, buckets, and servers that are not public."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen import kinds
from datagen.llm.openai_api import OPENAI
from datagen.publishing.private import SERVERS, papers, portable
from datagen.recipe import load
from tests.publish.hub_server import HubServer
from tests.publish.releases import held, release, variant

WRITER = {"kind": "openai_api", "model": "qwen", "base_url": "http://gpu7.corp.example:8000/v1"}
SPENT = {"write gemini-3-flash": {"answers": 12, "prompt_tokens": 3400, "usd": 41.27}}


def test_a_recipe_keeps_what_is_no_place_of_its_makers() -> None:
    recipe = {
        "voices": "/home/me/work/voices.yaml",
        "base": "gmw/en-US",
        "noise": [{"path": "/data"}, {"path": "s3://our-bucket/team/2026/street"}],
        "slope": "1/2",
        "licence": "https://creativecommons.org/licenses/by/4.0/",
        "tts": {"kind": "openai_speech", "url": "http://10.0.0.7:50000"},
        "writer": {**WRITER, "base_url": "https://user.corp.example/llm/v1?key=1"},
        "annotator": {"kind": "openai_api", "base_url": OPENAI},
        "asr": {"model": "/mnt/models/whisper/small", "url": None},
    }
    text = portable(f"# Resolved.\n{yaml.safe_dump(recipe)}")
    assert text.startswith("# Resolved.\n")
    assert yaml.safe_load(text) == {
        **recipe,
        "voices": "work/voices.yaml",
        "noise": [{"path": "/data"}, {"path": "2026/street"}],
        "tts": {"kind": "openai_speech", "url": "http://localhost"},
        "writer": {**WRITER, "base_url": "https://localhost/llm/v1"},
        "asr": {"model": "whisper/small", "url": None},
    }
    assert portable(text) == text


@pytest.mark.parametrize("family", kinds.FAMILIES)
def test_every_address_that_a_kind_asks_for_is_known(family: str) -> None:
    """A field that is named like one has one of the names that are looked for."""
    for kind in kinds.names(family):
        fields = kinds.module(family, kind).Config.model_fields
        named = {name for name in fields if any(part in name for part in ("url", "host", "address", "endpoint"))}
        assert named <= SERVERS, kind


def test_neither_money_nor_servers_are_published(hub: HubServer, dataset: str, tmp_path: Path) -> None:
    def paid(manifest: dict[str, Any]) -> None:
        manifest["usage"] = SPENT

    folder = variant(dataset, tmp_path / "paid", paid)
    path = Path(folder) / "recipe.yaml"
    recipe = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**recipe, "writer": WRITER}))
    release(folder)
    files = held(hub)
    texts = b"".join(content for name, content in files.items() if not name.endswith(".parquet"))
    assert not [secret for secret in (b"gpu7", b"corp.example", b"41.27", b'"usage"', b"usd") if secret in texts]
    manifest = json.loads((Path(folder) / "manifest.json").read_text())
    assert json.loads(files["manifest.json"]) == {k: v for k, v in manifest.items() if k != "usage"}
    (tmp_path / "recipe.yaml").write_bytes(files["recipe.yaml"])
    writer = load(str(tmp_path / "recipe.yaml")).writer
    assert writer is not None, "what is published can be read as a recipe"
    assert writer.model_dump()["base_url"] == "http://localhost/v1"


def test_a_manifest_without_costs_is_published_as_it_was_written() -> None:
    manifest = {"schema_version": 1, "recipe": {"name": "añb"}, "counts": {}}
    assert papers(manifest) == json.dumps(manifest, indent=1, ensure_ascii=False)
