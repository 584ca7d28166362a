"""A stand-in for the Hub, the client pointed at it, and a small dataset to publish."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.publish.hub_server import WRITER, HubServer
from tests.tiny import Tiny, built

pytest.importorskip("huggingface_hub")

__all__ = ["built"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The stand-in, large files by LFS; this process's client asks it, with a token that may write."""
    with HubServer(tmp_path / "hub") as server:
        _point(monkeypatch, server, tmp_path)
        yield server


@pytest.fixture
def xet_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The stand-in, large files by chunks in a local store."""
    with HubServer(tmp_path / "hub", xet=True) as server:
        _point(monkeypatch, server, tmp_path)
        yield server


def _point(monkeypatch: pytest.MonkeyPatch, server: HubServer, home: Path) -> None:
    """Points the client at the stand-in and keeps it from sleeping between its own attempts."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", not server.xet)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "no-token"))
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setenv("HF_XET_TELEMETRY_ENABLED", "0")


@pytest.fixture(scope="session")
def dataset(built: Tiny, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a finished dataset, its report (megabytes of sound) cut short; read it only."""
    folder = tmp_path_factory.mktemp("published") / "tiny"
    shutil.copytree(built.out, folder, ignore=shutil.ignore_patterns(".work"))
    (folder / "report.html").write_text("<!doctype html><title>report</title>")
    return str(folder)
