"""The played GPU itself: it finds each kind of fault, in a small kernel that has it."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from played_module import NVCC_FLAGS, PTX, missing, nvcc, run

pytestmark = pytest.mark.skipif(bool(missing()), reason=str(missing()))

FAULTS = {
    "no_fault": "",
    "missing_barrier": "race",
    "written_twice_in_shared_memory": "race: written by two threads: st.shared",
    "shared_memory_not_set": "shared memory read that is not set: ld.shared",
    "outside_shared_memory": "outside shared memory: ld",
    "read_past_an_array": "read of no array's element, or of one that is not written yet",
    "write_past_an_array": "write to no element of an output: st.global",
    "write_to_an_input": "write to no element of an output: st.global",
    "output_read_before_it_is_written": "read of no array's element, or of one that is not written",
    "misaligned": "misaligned: ld.global",
    "written_by_two_threads": "race: written by two threads: st.global",
    "written_by_two_blocks": "race: written by two threads: st.global",
    "barrier_that_some_leave_out": "a barrier that not all threads reach: bar.sync",
    "shuffle_that_some_leave_out": "an exchange that not all lanes of a warp reach: shfl.sync",
    "loop_without_end": "a loop without end in loop_without_end",
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The machine with the kernels of faults.cu."""
    folder = tmp_path_factory.mktemp("faults")
    ptx, code, library = (folder / name for name in ("k.ptx", "k.cpp", "faults.so"))
    run([str(nvcc()), "-ptx", *NVCC_FLAGS, str(PTX / "faults.cu"), "-o", str(ptx)])
    code.write_text(run([sys.executable, str(PTX / "translate.py"), str(ptx)]))
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-ffp-contract=off", f"-I{PTX}"]
    units = [str(PTX / "machine.cpp"), str(PTX / "memory.cpp"), str(code)]
    run(["c++", *flags, *units, "-o", str(library)])
    loaded = ctypes.CDLL(str(library))
    loaded.ptx_violations.restype = ctypes.c_char_p
    loaded.ptx_launch.argtypes = [
        ctypes.c_char_p,
        *[ctypes.c_uint32] * 2,
        ctypes.c_void_p,
        ctypes.c_int,
    ]
    return loaded


def launched(machine: Any, name: str, device: int = 0) -> tuple[str, Any, Any]:
    """What two blocks of a kernel did wrong, its input and its output."""
    given, out = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    flags = [np.full(256, may, np.uint8) for may in (1, 2)]
    addresses = [array.__array_interface__["data"][0] for array in (given, out)]
    for at, flag in zip(addresses, flags, strict=True):
        where = ctypes.c_void_p(flag.__array_interface__["data"][0])
        machine.ptx_add_memory(ctypes.c_uint64(at), ctypes.c_uint64(256), where, 0)
    blocks = 2 if "blocks" in name else 1
    machine.ptx_violations()
    parameters = (ctypes.c_uint64 * 2)(*addresses)
    assert machine.ptx_launch(name.encode(), blocks, 64, parameters, device)
    for at in addresses:
        machine.ptx_drop_memory(ctypes.c_uint64(at))
    return machine.ptx_violations().decode(), given, out


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_located(machine: Any, name: str) -> None:
    found, given, out = launched(machine, name)
    if name == "no_fault":
        assert not found and np.array_equal(out, given[::-1])
    else:
        assert FAULTS[name] in found
    if name not in ("no_fault", "loop_without_end", "shuffle_that_some_leave_out"):
        assert "faults.cu:" in found  # a shuffle is of a line of CUDA's own header


def test_memory_of_another_device_is_found(machine: Any) -> None:
    assert "memory of another device: ld.global" in launched(machine, "no_fault", device=1)[0]


@pytest.mark.parametrize("source", ["__fdividef(a, b)", "fmaf(a, b, a)", "__expf(a)"])
def test_instructions_that_round_otherwise_are_refused(tmp_path: Path, source: str) -> None:
    kernel, ptx, code = (tmp_path / name for name in ("k.cu", "k.ptx", "k.cpp"))
    kernel.write_text(
        'struct A { float a, b; float* out; };\nextern "C" __global__ void k(const A p) '
        f"{{ const float a = p.a, b = p.b; *p.out = {source}; }}\n"
    )
    run([str(nvcc()), "-ptx", *NVCC_FLAGS, str(kernel), "-o", str(ptx)])
    code.write_text(run([sys.executable, str(PTX / "translate.py"), str(ptx)]))
    with pytest.raises(AssertionError, match=r"was not declared|no matching function"):
        run(["c++", "-std=c++17", "-fsyntax-only", f"-I{PTX}", str(code)])
