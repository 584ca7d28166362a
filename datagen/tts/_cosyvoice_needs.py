"""What CosyVoice2 needs on a machine: the checkout at its commit, the weights, an interpreter with packages, a GPU.

Looks at files and at names of modules; imports nothing of it and downloads nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from datagen.kinds import Need

PACKAGES = {
    "conformer": "conformer",
    "diffusers": "diffusers",
    "gdown": "gdown",
    "hydra": "hydra-core",
    "hyperpyyaml": "HyperPyYAML",
    "inflect": "inflect",
    "librosa": "librosa",
    "lightning": "lightning",
    "matplotlib": "matplotlib",
    "modelscope": "modelscope",
    "numpy": "numpy",
    "omegaconf": "omegaconf",
    "onnxruntime": "onnxruntime",
    "pyarrow": "pyarrow",
    "pyworld": "pyworld",
    "regex": "regex",
    "rich": "rich",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "tiktoken": "tiktoken",
    "torch": "torch",
    "torchaudio": "torchaudio",
    "tqdm": "tqdm",
    "transformers": "transformers",
    "wget": "wget",
    "whisper": "openai-whisper",
    "x_transformers": "x-transformers",
}
"""Module -> distribution, for all that the checkout and Matcha-TTS import on their way to a first utterance."""
WEIGHTS = (
    "cosyvoice2.yaml",
    "llm.pt",
    "flow.pt",
    "hift.pt",
    "campplus.onnx",
    "speech_tokenizer_v2.onnx",
    *(f"CosyVoice-BlankEN/{name}" for name in ("config.json", "model.safetensors", "merges.txt", "vocab.json")),
    "CosyVoice-BlankEN/tokenizer_config.json",
)
URL = "https://github.com/FunAudioLLM/CosyVoice"
_PROBE = (
    "import json, sys; from importlib.util import find_spec; "
    "print(json.dumps([name for name in sys.argv[1:] if find_spec(name) is None]))"
)
_PROBE_S = 60.0


def files(home: str | None, commit: str, model: str | None, flags: Sequence[str]) -> Iterator[Need]:
    """The checkout at its commit, its submodule, and the weights; ``flags`` are constructor flags that need a file."""
    folder = Path(home) if home else None
    clone = f"git clone --recursive {URL}, and give its folder as tts.home or COSYVOICE_HOME"
    has_code = folder is not None and (folder / "cosyvoice" / "cli" / "cosyvoice.py").is_file()
    there = f"there is no cosyvoice/cli/cosyvoice.py in {folder}; " if folder else ""
    yield Need("CosyVoice checkout", str(folder) if has_code else "", there + clone)
    if folder is not None and has_code:
        yield _commit(folder, commit)
        has_matcha = (folder / "third_party" / "Matcha-TTS" / "matcha").is_dir()
        update = f"git -C {folder} submodule update --init --recursive"
        yield Need("CosyVoice's submodule Matcha-TTS", "third_party/Matcha-TTS" if has_matcha else "", update)
    yield _weights(Path(model) if model else None, flags)


def _commit(home: Path, wanted: str) -> Need:
    name = f"CosyVoice commit {wanted}"
    here = commit_of(home)
    if here.startswith(wanted):
        return Need(name, here[:12])
    if not here:
        return Need(name, "", f"{home} has neither .git nor a file REVISION that holds its commit; clone it with git")
    return Need(name, "", f"it is at {here[:12]}: git -C {home} checkout --recurse-submodules {wanted}")


def _weights(model: Path | None, flags: Sequence[str]) -> Need:
    get = "hf download FunAudioLLM/CosyVoice2-0.5B --local-dir DIR, and give DIR as tts.model or COSYVOICE_MODEL"
    if model is None or not model.is_dir():
        return Need("CosyVoice2 weights", "", f"there is no folder {model}; {get}" if model else get)
    precision = "fp16" if "fp16" in flags else "fp32"
    wanted = list(WEIGHTS)
    wanted += [f"flow.encoder.{precision}.zip"] if "load_jit" in flags else []
    wanted += ["flow.decoder.estimator.fp32.onnx"] if "load_trt" in flags else []
    missing = [name for name in wanted if not (model / name).is_file()]
    if missing:
        return Need("CosyVoice2 weights", "", f"{model} lacks {', '.join(missing)}; {get}")
    return Need("CosyVoice2 weights", str(model))


def packages(python: str, is_this_one: bool) -> Iterator[Need]:
    """The interpreter and what the checkout imports; another interpreter is asked, this one is looked through."""
    name = f"CosyVoice's packages in {python}"
    try:
        missing = [m for m in PACKAGES if find_spec(m) is None] if is_this_one else _missing_in(python)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        yield Need(
            name, "", f"it does not run ({' '.join(str(error).split())[:200]}); set tts.python or COSYVOICE_PYTHON"
        )
        return
    install = " ".join(PACKAGES[module] for module in missing)
    what = "'duplexkit[cosyvoice]'" if is_this_one else install
    get = f"{python} -m pip install {what} (missing: {install}); torch and torchaudio as your CUDA needs them"
    yield Need(name, "" if missing else f"all {len(PACKAGES)}", get if missing else "")


def _missing_in(python: str) -> list[str]:
    command = [python, "-c", _PROBE, *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S, check=True)
    return list(json.loads(done.stdout))


def gpu() -> Need:
    """The GPUs that nvidia-smi lists. None is no obstacle, but slow."""
    none = "none that nvidia-smi can see: the CPU will do, slowly"
    if shutil.which("nvidia-smi") is None:
        return Need("GPU", none)
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_PROBE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return Need("GPU", none)
    names = [line.partition(":")[2].partition("(")[0].strip() for line in listed.stdout.splitlines() if line.strip()]
    return Need("GPU", f"{len(names)} x {names[0]}" if names else none)


def commit_of(home: Path) -> str:
    """The commit a folder is at: of its own .git, else the first word of its file REVISION, else an empty string.

    Read from the files: git itself refuses folders of other users and would look in the folders above.
    """
    try:
        git = home / ".git"
        if git.is_file():  # a worktree or a submodule
            git = (home / git.read_text().removeprefix("gitdir:").strip()).resolve()
        if git.is_dir():
            return _head(git)
        return ((home / "REVISION").read_text().split() or [""])[0]
    except OSError:
        return ""


def _head(git: Path) -> str:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    common = git / (git / "commondir").read_text().strip() if (git / "commondir").is_file() else git
    if (common / name).is_file():
        return (common / name).read_text().strip()
    packed = (common / "packed-refs").read_text().splitlines() if (common / "packed-refs").is_file() else []
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
