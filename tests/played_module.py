"""One job: build the kernels' own PTX into a library for the host: a GPU that is played."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sasaug import _core

ROOT = Path(__file__).resolve().parents[1]
PTX = ROOT / "tests" / "ptx"
KERNELS = ROOT / "csrc" / "cuda" / "kernels.cu"
#: as CMakeLists.txt compiles it, for one architecture
NVCC_FLAGS = ["-arch=compute_90", "-fmad=false", "-std=c++17", "-O3", "-DNDEBUG", "-lineinfo"]
HOST_FLAGS = ["-O1", "-g0", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off"]


def nvcc() -> str | None:
    """Where CMakeLists.txt looks for it."""
    for folder in (None, os.environ.get("CUDA_PATH", "") + "/bin", "/usr/local/cuda/bin"):
        if found := os.environ.get("CUDACXX") or shutil.which("nvcc", path=folder):
            return found
    return None


def missing() -> str | None:
    """Why no GPU can be played here."""
    if not KERNELS.is_file():
        return "the sources are not at hand"
    if not nvcc():
        return "nvcc is not found"
    if platform.system() != "Linux" or not shutil.which("c++"):
        return "the played GPU needs Linux and a C++ compiler"
    return None


class Core:
    """sasaug._core, its calls of CUDA on the played GPU."""

    def __init__(self, library: Any) -> None:
        self.library = library
        library.ptx_run.restype = ctypes.c_char_p

    def __getattr__(self, name: str) -> Any:
        return getattr(_core, name)

    def run_cuda(self, batch: Any, inputs: Any, device: int, stream: int) -> None:
        records = bytes(batch), None if inputs is None else bytes(inputs)
        error = self.library.ptx_run(*records, device, ctypes.c_void_p(stream))
        if error:
            raise RuntimeError(error.decode())


@functools.cache
def played_core(cache: Path) -> Core:
    """The kernels on a played GPU, built once per state of the sources."""
    import fcntl  # Linux, like the played GPU

    sources = [f for f in [*(ROOT / "csrc").rglob("*"), *PTX.glob("*")] if f.is_file()]
    parts = [str(nvcc()), *NVCC_FLAGS, *HOST_FLAGS, *(f.read_text() for f in sorted(sources))]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    module = cache / key / "played.so"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests may be building it
        if not module.exists():
            build(module)
    return Core(ctypes.CDLL(str(module)))


def build(module: Path) -> None:
    """Compile the kernels to PTX and their host's half, translate the PTX, and link all."""
    folder = module.parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    include = [f"-I{ROOT / 'csrc'}", f"-I{PTX}"]
    host = f"-Xcompiler={','.join(HOST_FLAGS)}"

    def compiled(unit: Path, *flags: str) -> str:
        made = folder / f"{unit.stem}.o"
        run([str(nvcc()), "-c", "-std=c++17", *flags, host, *include, str(unit), "-o", str(made)])
        return str(made)

    def kernels() -> list[str]:
        made = compiled(KERNELS, *NVCC_FLAGS, "--keep", f"--keep-dir={folder}")
        translated = folder / "translated.cpp"
        text = run([sys.executable, str(PTX / "translate.py"), str(folder / "kernels.ptx")])
        translated.write_text(text)
        return [made, compiled(translated)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        first = pool.submit(kernels)
        objects = [*pool.map(compiled, sorted(PTX.glob("*.cpp"))), *first.result()]
    linked = module.with_suffix(".part")
    run(["c++", "-shared", *HOST_FLAGS, *objects, "-o", str(linked)])
    linked.replace(module)


def run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr[-4000:]}"
    return result.stdout
