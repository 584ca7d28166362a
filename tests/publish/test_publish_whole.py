"""The command in a process of its own: killed and run again, stored as chunks, and read back by those who load it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers import ROOT
from tests.publish.hub_server import WRITER, HubServer
from tests.publish.releases import REPO, expected, held, shorter
from tests.tiny import Tiny

pytestmark = pytest.mark.slow

LOADING = """
import hashlib, json, sys
from datasets import Audio, load_dataset

def digest(rows):
    for column in ("user_audio", "assistant_audio"):
        rows = rows.cast_column(column, Audio(decode=False))
    return hashlib.sha256(repr(list(rows)).encode()).hexdigest()

repo, revision, cache = sys.argv[1:]
found = {}
for streaming in (True, False):
    splits = load_dataset(repo, revision=revision, streaming=streaming, cache_dir=cache)
    found[str(streaming)] = {name: digest(rows) for name, rows in splits.items()}
print(json.dumps(found))
"""

FETCHING = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], repo_type="dataset", local_dir=sys.argv[2])
"""


def environment(hub: HubServer, home: Path) -> dict[str, str]:
    """Of a process whose client asks the stand-in."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**kept, **own, "HF_XET_TELEMETRY_ENABLED": "0", "HF_HUB_DISABLE_XET": str(int(not hub.xet))}


def start(hub: HubServer, home: Path, *arguments: str) -> subprocess.Popen[str]:
    """Python with some arguments, beside this process."""
    command = [sys.executable, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment(hub, home), stdout=pipe, stderr=pipe, text=True)


def done(process: subprocess.Popen[str]) -> str:
    """What a process that went well printed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def publish(hub: HubServer, home: Path, folder: str, *options: str) -> subprocess.Popen[str]:
    return start(hub, home, "-m", "datagen", "publish", folder, REPO, *options)


def until(condition: object, seconds: float = 60) -> None:
    """Waits for a condition (a callable)."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def test_killed_twice_and_run_again_it_is_whole_and_loads(hub: HubServer, built: Tiny, tmp_path: Path) -> None:
    folder = str(built.out)
    sizes = sorted(path.stat().st_size for path in built.out.glob("data/*.parquet"))
    hub.fail("PUT /storage/", "hang")
    first = publish(hub, tmp_path, folder, "--tag", "v1")
    until(lambda: hub.hanging.is_set() and hub.received >= sizes[0])
    first.kill()
    first.communicate()
    assert held(hub) == {}, "what has been uploaded is not to be seen"
    hub.fail("POST .*/commit/", "hang")
    hub.hanging.clear()
    second = publish(hub, tmp_path, folder, "--tag", "v1")
    until(hub.hanging.is_set)
    second.kill()
    second.communicate()
    assert held(hub) == {}
    sent = hub.received
    assert sent == sum(sizes), "no file was taken twice"
    said = done(publish(hub, tmp_path, folder, "--tag", "v1"))
    assert "published and compared" in said
    assert hub.received == sent
    assert held(hub, revision="v1") == expected(folder, hub)
    assert len(hub.repositories[REPO].commits) == 2
    _loads(hub, built.out, tmp_path)


def _loads(hub: HubServer, out: Path, home: Path) -> None:
    """Streaming and not, all rows are those of the folder."""
    pytest.importorskip("datasets")
    local = {
        split: hashlib.sha256(
            repr([r for p in sorted(out.glob(f"data/{split}-*")) for r in pq.read_table(p).to_pylist()]).encode()
        ).hexdigest()
        for split in ("train", "validation", "test")
    }
    found = json.loads(done(start(hub, home, "-c", LOADING, REPO, "v1", str(home / "cache"))))
    assert found == {"True": local, "False": local}


def test_stored_as_chunks_a_small_change_adds_little_and_the_files_come_back(
    xet_hub: HubServer, built: Tiny, tmp_path: Path
) -> None:
    """The local store is a feature of the chunking library meant for its own tests: skipped where it is not there."""
    hf_xet = pytest.importorskip("hf_xet")
    hub, folder = xet_hub, str(built.out)
    hub.fail("POST .*/commit/", "hang")
    first = publish(hub, tmp_path, folder)
    until(hub.hanging.is_set)
    first.kill()
    first.communicate()
    if not _size(hub.cas):
        pytest.skip("this version of hf_xet has no local store")
    assert held_names(hub) == set()
    whole = _size(hub.cas)
    done(publish(hub, tmp_path, folder))
    data = sum(path.stat().st_size for path in built.out.glob("data/*.parquet"))
    assert _size(hub.cas) - whole < 0.02 * data, "chunks that are there are not sent again"
    changed = Path(shorter(folder, tmp_path / "changed"))
    before = _size(hub.cas)
    done(publish(hub, tmp_path, str(changed), "--tag", "v2"))
    rewritten = sum(path.stat().st_size for path in changed.glob("data/train-*"))
    print("chunks:", data, whole, _size(hub.cas) - whole, rewritten, _size(hub.cas) - before)
    assert _size(hub.cas) - before < 0.5 * rewritten
    _fetched(hub, hf_xet, changed, tmp_path)
    shutil.rmtree(changed)


def held_names(hub: HubServer) -> set[str]:
    """The files of the branch, without the Hub's own."""
    return set(hub.repositories[REPO].files()) - {".gitattributes"}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _fetched(hub: HubServer, hf_xet: object, folder: Path, home: Path) -> None:
    """Every file, put together from its chunks by the client, is the local one."""
    for path in folder.glob("data/*.parquet"):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        hub.xet_hashes[sha256] = hf_xet.hash_files([str(path)])[0].hash  # type: ignore[attr-defined]
    for entry in hub.repositories[REPO].files().values():
        assert not entry.sha256 or entry.sha256 in hub.xet_hashes
    target = home / "fetched"
    done(start(hub, home, "-c", FETCHING, REPO, str(target)))
    for path in folder.glob("data/*.parquet"):
        assert (target / "data" / path.name).read_bytes() == path.read_bytes()
    assert (target / "statistics.json").read_bytes() == (folder / "statistics.json").read_bytes()
