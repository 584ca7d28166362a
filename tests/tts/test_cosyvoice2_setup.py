"""What the engine that clones with CosyVoice2 needs and refuses: checkout, weights, packages, and a sound stack."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from datagen.kinds import Need
from datagen.tts import _cosyvoice_compat as compat
from datagen.tts import _cosyvoice_needs as needed
from datagen.tts.cosyvoice2 import Config, CosyVoice2, needs
from tests.helpers import ROOT
from tests.tts.cosyvoice_standin.checkout import COMMIT, config, engine, prompt, voice


def said(speaker: CosyVoice2, folder: Path) -> bytes:
    try:
        return speaker.synthesize("One two three.", voice(prompt(folder)), 1).pcm.tobytes()
    finally:
        speaker.close()


def found(config: Config) -> dict[str, Need]:
    """The needs by the first words of their names."""
    return {need.name.split(" in ")[0]: need for need in needs(config)}


def test_a_stack_that_hides_the_past_is_mended(tmp_path: Path) -> None:
    """Mended, it sounds as the stack that never did."""
    takes = []
    for stack in ("old", "new"):
        folder = tmp_path / stack
        folder.mkdir()
        takes.append(said(engine(folder, {"stack": stack}), folder))
    assert takes[0] == takes[1]


def test_a_stack_that_cannot_be_mended_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"speech would be garbage; install transformers==4\.51\.3"):
        said(engine(tmp_path, {"stack": "hopeless"}), tmp_path)


REAL = """
import json, sys, torch
from transformers import Qwen2Config, Qwen2ForCausalLM
home, model, prompt, root = sys.argv[1:]
sys.path.insert(0, root)
from datagen.tts import _cosyvoice_model
torch.manual_seed(0)
shape = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 50}
config = Qwen2Config(hidden_size=32, intermediate_size=64, **shape)
Qwen2ForCausalLM(config).bfloat16().save_pretrained(model + "/CosyVoice-BlankEN")
loaded = _cosyvoice_model.load(home, model, [], 2)
encoder = loaded._tts.model.llm.llm
samples = loaded.say("One two three.", "A prompt.", prompt, "k", 2**40 + 1)
print(json.dumps([loaded.notes["gaps"], str(next(encoder.parameters()).dtype), len(samples)]))
"""


@pytest.mark.slow
def test_the_real_transformers_is_checked_and_mended(tmp_path: Path) -> None:
    """A tiny Qwen2 in 16 bits: loaded in float32, decoding as if there were no cache, heard in the end."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    settings = config(tmp_path, {"encoder": "llm_torch"})
    assert settings.home is not None
    assert settings.model is not None
    for name in ("config.json", "model.safetensors"):
        (Path(settings.model) / "CosyVoice-BlankEN" / name).unlink()
    command = [sys.executable, "-c", REAL, settings.home, settings.model, prompt(tmp_path).path, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    gaps, dtype, size = json.loads(done.stdout.splitlines()[-1])
    assert dtype == "torch.float32"
    assert size == 4 * 3 * 960
    assert list(gaps.values())[-1] < 1e-4
    if "mended" in gaps:  # transformers 4.53 and newer
        assert gaps["as_installed"] > 0.1


def test_no_number_is_not_a_small_gap() -> None:
    encoder = SimpleNamespace()
    assert not compat.decodes({"as_installed": float("nan")}, encoder)
    assert not compat.decodes({"as_installed": 1e-6, "mended": 0.5}, encoder)
    assert compat.decodes({"as_installed": 0.5, "mended": 1e-6}, encoder)


def test_the_length_of_any_cache_is_known() -> None:
    keys = SimpleNamespace(shape=(1, 2, 7, 16))
    assert compat.cached(None) == 0
    assert compat.cached(((keys, keys), (keys, keys))) == 7
    assert compat.cached(SimpleNamespace(get_seq_length=lambda: 9)) == 9


@pytest.mark.parametrize("seconds", [1.0, 29.9999, 30.0])
@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_a_prompt_is_never_longer_than_the_tokenizer_takes(tmp_path: Path, seconds: float, rate: int) -> None:
    """Resampling must not add a sample to 30 s."""
    made = prompt(tmp_path, seconds=seconds, rate=rate, channels=2)
    for target in (16_000, 24_000):
        samples = compat.load_wav(made.path, target)
        assert samples.shape[0] == 1
        assert abs(samples.shape[1] - seconds * target) < 2
        assert samples.shape[1] <= 30 * target


def test_the_channels_of_a_prompt_are_averaged(tmp_path: Path) -> None:
    time = np.arange(16_000) / 16_000
    left, right = (0.2 * np.sin(2 * np.pi * hertz * time) for hertz in (200, 300))
    soundfile.write(tmp_path / "two.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    assert np.allclose(compat.load_wav(str(tmp_path / "two.wav"), 16_000)[0], (left + right) / 2, atol=1e-6)


def test_a_prompt_of_a_low_rate_is_refused_by_its_own_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 8000 Hz"):
        compat.load_wav(prompt(tmp_path, rate=8_000).path, 24_000)


@pytest.mark.parametrize("name", ["cosyvoice", "third_party/Matcha-TTS/matcha"])
def test_a_module_from_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Packages of the registry install modules of these names; a folder without ``__init__.py`` gives way to them."""
    settings = config(tmp_path)
    home, elsewhere = Path(str(settings.home)), tmp_path / "site-packages"
    shutil.copytree(home / name, elsewhere / Path(name).name)
    shutil.copy(home / "standin.json", elsewhere)
    (home / name / "__init__.py").unlink()
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    with pytest.raises(OSError, match=rf"{Path(name).name}.* was imported from .*site-packages.*, not from the check"):
        said(CosyVoice2(settings), tmp_path)


@pytest.mark.parametrize("flag", ["fp16", "load_trt", "load_jit"])
def test_flags_that_the_class_would_drop_without_a_gpu_are_refused(tmp_path: Path, flag: str) -> None:
    settings = config(tmp_path, None, **{flag: True})
    assert settings.model is not None
    for name in ("flow.encoder.fp32.zip", "flow.decoder.estimator.fp32.onnx"):
        (Path(settings.model) / name).touch()
    with pytest.raises(OSError, match=f"{flag}: needs a CUDA GPU"):
        said(CosyVoice2(settings), tmp_path)


def test_a_whole_installation_has_nothing_missing(tmp_path: Path) -> None:
    there = found(config(tmp_path))
    there.pop("CosyVoice's packages")
    assert all(need.found for need in there.values())
    assert there["CosyVoice commit ace7c47"].found == COMMIT[:12]


def test_a_bare_machine_is_told_how_to_get_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "MODEL", "PYTHON"):
        monkeypatch.delenv(f"COSYVOICE_{name}", raising=False)
    bare = found(Config(kind="cosyvoice2"))
    assert not bare["CosyVoice checkout"].found
    assert "git clone --recursive" in bare["CosyVoice checkout"].remedy
    assert "hf download" in bare["CosyVoice2 weights"].remedy
    assert bare["GPU"].found, "a processor will do"
    with pytest.raises(OSError, match=r"CosyVoice checkout is missing: git clone.*COSYVOICE_HOME"):
        said(CosyVoice2(Config(kind="cosyvoice2")), tmp_path)


def test_places_come_from_the_environment_where_the_recipe_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path)
    monkeypatch.setenv("COSYVOICE_HOME", str(settings.home))
    monkeypatch.setenv("COSYVOICE_MODEL", str(settings.model))
    monkeypatch.setenv("COSYVOICE_PYTHON", sys.executable)
    assert said(CosyVoice2(Config(kind="cosyvoice2")), tmp_path)


def test_what_is_missing_is_named_with_its_remedy_and_ends_the_run(tmp_path: Path) -> None:
    settings = config(tmp_path, load_trt=True, load_jit=True)
    home, model = Path(str(settings.home)), Path(str(settings.model))
    (model / "hift.pt").unlink()
    weights = found(settings)["CosyVoice2 weights"]
    assert not weights.found
    assert "lacks hift.pt, flow.encoder.fp32.zip, flow.decoder.estimator.fp32.onnx" in weights.remedy
    (home / "third_party" / "Matcha-TTS" / "matcha" / "__init__.py").unlink()
    (home / "third_party" / "Matcha-TTS" / "matcha").rmdir()
    submodule = found(settings)["CosyVoice's submodule Matcha-TTS"]
    assert (submodule.found, "submodule update --init" in submodule.remedy) == ("", True)
    (home / "REVISION").write_text("f" * 40)
    commit = found(settings)["CosyVoice commit ace7c47"]
    assert (commit.found, "it is at ffffffffffff" in commit.remedy) == ("", True)
    (home / "REVISION").unlink()
    assert "neither .git nor a file REVISION" in found(settings)["CosyVoice commit ace7c47"].remedy
    with pytest.raises(OSError, match="CosyVoice commit ace7c47 is missing"):
        said(CosyVoice2(settings), tmp_path)


def test_a_commit_is_read_as_git_writes_it(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@e", "-C"]
    subprocess.run(["git", "init", "-q", "-b", "main", tmp_path / "a"], check=True)
    subprocess.run([*git, tmp_path / "a", "commit", "-q", "--allow-empty", "-m", "m"], check=True)
    subprocess.run([*git, tmp_path / "a", "worktree", "add", "-q", tmp_path / "b"], check=True)
    head = subprocess.run([*git, tmp_path / "a", "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    expected = head.stdout.strip()
    assert needed.commit_of(tmp_path / "a") == needed.commit_of(tmp_path / "b") == expected
    subprocess.run([*git, tmp_path / "a", "pack-refs", "--all"], check=True)
    assert needed.commit_of(tmp_path / "a") == needed.commit_of(tmp_path / "b") == expected
    subprocess.run([*git, tmp_path / "a", "checkout", "-q", "--detach"], check=True)
    assert needed.commit_of(tmp_path / "a") == expected
    (tmp_path / "a" / "unpacked").mkdir()
    assert needed.commit_of(tmp_path / "a" / "unpacked") == "", "a folder above is another project"


def test_packages_of_another_interpreter_are_asked_for_there(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    (need,) = needed.packages(str(bare), is_this_one=False)
    assert need.found == ""
    assert "missing: conformer diffusers" in need.remedy
    assert "HyperPyYAML" in need.remedy
    (need,) = needed.packages(str(tmp_path / "none"), is_this_one=False)
    assert (need.found, "COSYVOICE_PYTHON" in need.remedy) == ("", True)
    (need,) = needed.packages("false", is_this_one=False)
    assert need.found == ""


def test_the_gpus_that_nvidia_smi_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\nfor n in 0 1; do echo "GPU $n: NVIDIA H200 (UUID: GPU-x)"; done\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert needed.gpu() == Need("GPU", "2 x NVIDIA H200")
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert needed.gpu().found.startswith("none")
