"""One job: turn the PTX that nvcc makes of the kernels into C++ for machine.h, line by line.

    python translate.py kernels.ptx > kernels.cpp

A register becomes a member of a kernel's struct, a run of instructions without a branch a function,
which returns the next one's number, and an instruction a call of the function of its name in
operations.h: ``add.s32 %r5, %r3, %r4`` becomes ``r5 = add<s32>(r3, r4)``. One that has no such
function does not compile.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TYPES = {f"{kind}{bits}" for kind in "usb" for bits in (8, 16, 32, 64)} | {"f32", "f64", "pred"}
SPACES = ("global", "shared", "param")
SPECIAL = {f"%{name}.x": f"t.{name}" for name in ("tid", "ntid", "ctaid", "nctaid")}
SCRATCH = "  Register<u64> tmp_;"
KEYWORDS = {"and", "or", "xor", "not"}
KERNEL = re.compile(
    r"\.entry\s+(\w+)\(\s*\.param\s+\.align\s+\d+\s+\.b8\s+(\w+)\[(\d+)\]\s*\)(.*?)^\{(.*?)^\}",
    re.S | re.M,
)


class Unknown(Exception):
    """PTX of a kind that this translation has not met."""


@dataclass
class Kernel:
    name: str
    parameters: str
    parameter_bytes: int
    threads: int
    registers: list[str] = field(default_factory=list)
    shared: dict[str, int] = field(default_factory=dict)  # name -> where it begins
    shared_bytes: int = 0
    calls: dict[str, str] = field(default_factory=dict)  # the functions that the code calls
    code: list[list[str]] = field(default_factory=list)  # of each block
    labels: dict[str, int] = field(default_factory=dict)  # name -> block
    instructions: list[tuple[str, str]] = field(default_factory=list)  # opcode, source line
    blocks: list[int] = field(default_factory=list)  # instructions in each

    def operand(self, text: str) -> str:
        if text in SPECIAL:
            return f"Integer{{{SPECIAL[text]}}}"
        if re.fullmatch(r"%\w+", text):
            return local(text)
        if text in self.shared:
            return f"Integer{{{self.shared[text]}}}"
        if text == self.parameters:
            return "Integer{0}"
        if re.fullmatch(r"0[fF][0-9a-fA-F]{8}", text):
            return f"Float<u32>{{0x{text[2:]}u}}"
        if re.fullmatch(r"0[dD][0-9a-fA-F]{16}", text):
            return f"Float<u64>{{0x{text[2:]}ull}}"
        if re.fullmatch(r"-?(\d+|0x[0-9a-fA-F]+)U?", text):
            return f"Integer{{{int(text.rstrip('U'), 0) % 2**64}ull}}"
        raise Unknown(f"operand {text}")

    def address(self, text: str) -> tuple[str, str]:
        m = re.fullmatch(r"\[([\w%$]+)(?:\+(-?\d+))?\]", text)
        if not m:
            raise Unknown(f"address {text}")
        return m[1], m[2] or "0"

    def call(self, name: str, body: str, args: list[str], first: str = "") -> str:
        """A call of a function of these operands' types, which does `body` with a, b, c ...

        25,000 calls of templates take a compiler minutes, some 300 such functions seconds.
        """
        operands = [self.operand(arg) for arg in args]
        kinds = [kind_of(arg, operand) for arg, operand in zip(args, operands, strict=True)]
        full = f"{name}_{''.join(mark for mark, _ in kinds)}"
        names = [f"{kind} {'abcdefgh'[i]}" for i, (_, kind) in enumerate(kinds)]
        if first:
            names = ["Thread& t", "u32 pc", "s64 offset", *names]
        self.calls[full] = f"static inline void {full}({', '.join(names)}) {{ {body} }}"
        return f"{full}({', '.join([first, *operands] if first else operands)});"

    def place(self) -> int:
        return len(self.instructions) - 1


def local(register: str) -> str:
    return f"r.{register[1:]}_"  # or %f32 would have the name of a type


def label(text: str) -> str:
    """Without the kernel's number, so that two of the same code are seen to be so."""
    return "L" + text.rsplit("_", 1)[-1]


def kind_of(text: str, operand: str) -> tuple[str, str]:
    """A letter for an operand's type in a function's name, and the type."""
    if operand.startswith(("Integer", "Float")):
        kind = operand.split("{")[0]
        return {"Integer": "i", "Float<u32>": "f", "Float<u64>": "d"}[kind], kind
    if text.startswith("%p"):
        return "p", "Register<bool>&"
    return f"r{width(text)}", f"Register<u{width(text)}>&"


def width(register: str) -> int:
    """Of a register, by the letters that nvcc gives it."""
    bits = {"%r": 32, "%rd": 64, "%tmp": 64, "%rs": 16, "%f": 32, "%fd": 64}
    return bits[register.rstrip("0123456789")]


def translate(text: str) -> str:
    files = {n: Path(name).name for n, name in re.findall(r'\.file\s+(\d+)\s+"([^"]*)"', text)}
    kernels = [one_kernel(m, files) for m in KERNEL.finditer(re.sub(r"//[^\n]*", "", text))]
    if not kernels:
        raise Unknown("no kernel")
    calls = {name: text for k in kernels for name, text in k.calls.items()}
    out = ['#include "machine.h"', "namespace ptx {", *calls.values()]
    codes: list[Any] = []
    for n, k in enumerate(kernels):
        codes.append([k.registers, k.labels, k.code])
        if (same := codes.index(codes[-1])) < n:  # another size of table, but the same code
            out.append(f"using registers{n} = registers{same};")
            out.append(f"constexpr auto run{n} = run{same};")
            out.append(f"constexpr auto &instructions{n} = instructions{same};")
            out.append(f"constexpr auto &blocks{n} = blocks{same};")
            continue
        out += [f"namespace kernel{n} {{", "struct Registers {", *k.registers, "};"]
        out += [f"constexpr u32 {name} = {block};" for name, block in k.labels.items()]
        for block, lines in enumerate(k.code):
            out.append(f"u32 block{block}([[maybe_unused]] Thread& t, Registers& r) {{")
            out += [*lines, f"  return {block + 1};", "}"]
        names = ", ".join(f"block{block}" for block in range(len(k.code)))
        out += [f"u32 (*const code[])(Thread&, Registers&) = {{{names}}};", "}  // namespace"]
        out.append(f"using registers{n} = kernel{n}::Registers;")
        out.append(f"static void run{n}(Thread& t) {{ run(t, kernel{n}::code); }}")
        out.append(f"static const Instruction instructions{n}[] = {{")
        out += [f'  {{"{op}", "{line}"}},' for op, line in k.instructions]
        out += ["};", f"static const u32 blocks{n}[] = {{{', '.join(map(str, k.blocks))}}};"]
    out.append("const Kernel kKernels[] = {")
    for n, k in enumerate(kernels):
        facts = f"{k.parameter_bytes}, {k.shared_bytes}, sizeof(registers{n}), {k.threads}"
        lists = f"instructions{n}, blocks{n}, {len(k.blocks)}"
        out.append(f'  {{"{k.name}", run{n}, {facts}, {lists}}},')
    out += ["};", f"const int kKernelCount = {len(kernels)};", "}  // namespace ptx"]
    return "\n".join(out) + "\n"


def one_kernel(m: re.Match[str], files: dict[str, str]) -> Kernel:
    name, parameters, size, limits, body = m.groups()
    bound = re.search(r"\.maxntid\s+(\d+)", limits)
    k = Kernel(name, parameters, int(size), int(bound[1]) if bound else 1024)
    line, fresh = "?", True  # fresh: the next instruction begins a block
    for raw in re.split(r"[;\n]", body):
        text = " ".join(raw.split()).removeprefix("{ ")
        if not text or text in "{}" or text.startswith(".pragma"):
            continue
        if text == ".reg .b64 %tmp":  # of a few instructions: an address made generic
            k.registers += [] if SCRATCH in k.registers else [SCRATCH]
            continue
        if r := re.fullmatch(r"\.reg \.(\w+) %(\w+)<(\d+)>", text):
            kind = "bool" if r[1] == "pred" else f"u{r[1][1:]}"
            names = ", ".join(f"{r[2]}{i}_" for i in range(1, int(r[3])))
            k.registers += [f"  Register<{kind}> {names};"] if names else []
        elif r := re.fullmatch(r"\.shared \.align (\d+) \.\w(\d+) (\w+)(?:\[(\d+)\])?", text):
            align = max(16, int(r[1]))
            k.shared[r[3]] = -(-k.shared_bytes // align) * align
            k.shared_bytes = k.shared[r[3]] + int(r[2]) // 8 * int(r[4] or 1)
        elif r := re.match(r"\.loc (\d+) (\d+)", text):
            line = f"{files[r[1]]}:{r[2]}"
        elif r := re.fullmatch(r"(\$L__BB\w+):", text):
            k.labels[label(r[1])] = len(k.blocks)
            fresh = True
        elif text.startswith("."):
            raise Unknown(text)
        else:
            if fresh:
                k.code.append([])
                k.blocks.append(0)
            k.blocks[-1] += 1
            instruction = re.sub(r"^@(!?)%(\w+) ", "", text)
            guard = re.match(r"@(!?)%(\w+) ", text)
            k.instructions.append((instruction.split()[0], line))
            code = one_instruction(k, instruction)
            k.code[-1].append(
                f"  if ({guard[1]}pred(r.{guard[2]}_)) {code}" if guard else f"  {code}"
            )
            # a block ends where threads may part or wait
            fresh = instruction.split()[0].split(".")[0] in ("bra", "ret", "bar", "shfl", "vote")
    return k


def one_instruction(k: Kernel, text: str) -> str:
    opcode, _, rest = text.partition(" ")
    parts = opcode.split(".")
    args = [re.sub(r"\s", "", a) for a in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest)]
    types = [p for p in parts if p in TYPES]
    match parts[0]:
        case "bra":
            return f"return {label(args[0])};"
        case "ret":
            return "return kEnd;"
        case "bar" if opcode == "bar.sync" and args == ["0"]:
            return f"t.barrier({k.place()});"
        case "shfl" | "vote":
            return exchange(k, parts, args)
        case "ld" | "st" | "atom":
            return memory(k, parts, types, args)
        case "mov" if args[0].startswith("{"):
            names = ", ".join(local(name) for name in args[0].strip("{}").split(","))
            return f"unpack<{types[0]}>({k.operand(args[1])}, {names});"
        case "mov" if args[1].startswith("{"):
            names = args[1].strip("{}").split(",")
            part = f"u{int(types[0][1:]) // len(names)}"
            values = ", ".join(f"{part}({k.operand(name)})" for name in names)
            return f"{local(args[0])} = pack<{types[0]}, {part}>({{{values}}});"
        case "cvta":
            window = {"param": "u64(t.parameters)", "shared": "kSharedWindow"}.get(parts[1], "0")
            if parts[1] == "to" and parts[2] == "shared":
                window = "-kSharedWindow"
            return f"{local(args[0])} = u64({k.operand(args[1])}) + {window};"
    name = "_".join(p for p in parts if p not in TYPES)
    name += "_" if name in KEYWORDS else ""
    values = ", ".join("bcdefgh"[: len(args) - 1])
    return k.call("_".join(parts), f"a = {name}<{', '.join(types)}>({values});", args)


def memory(k: Kernel, parts: list[str], types: list[str], args: list[str]) -> str:
    space = f"Space::{next((p for p in parts if p in SPACES), 'generic')}"
    known = {"ld", "st", "atom", "add", "volatile", "nc", "v2", "v4", *SPACES, *TYPES}
    if not known.issuperset(parts):
        raise Unknown(".".join(parts))
    if parts[0] == "atom":
        base, offset = k.address(args[1])
        bits = f"u{width(base)}(b)" if base.startswith("%") else "u64(b)"
        body = f"a = atom_add<{types[0]}>(t, pc, {space}, {bits}, offset, c);"
        if args[0] == "_" or not base.startswith("%"):
            body = body.removeprefix("a = ").replace("b)", "a)").replace("c)", "b)")
        names = [a for a in (args[0], base, args[2]) if a != "_"]
        return k.call("_".join(parts), body, names, f"t, {k.place()}, {offset}")
    count = next((int(p[1:]) for p in parts if p in ("v2", "v4")), 1)
    at, registers = (args[1], args[0]) if parts[0] == "ld" else (args[0], args[1])
    base, offset = k.address(at)
    names = [base, *registers.strip("{}").split(",")]
    bits = f"u{width(base)}(a)" if base.startswith("%") and base not in SPECIAL else "u64(a)"
    letters = "bcdefgh"[:count]
    if parts[0] == "ld":
        body = f"const auto v = load<{types[0]}, {count}>(t, pc, {space}, {bits}, offset); "
        body += " ".join(f"{letter} = v.of[{i}];" for i, letter in enumerate(letters))
    else:
        values = ", ".join(f"{types[0]}({letter})" for letter in letters)
        body = f"store<{types[0]}, {count}>(t, pc, {space}, {bits}, offset, {{{{{values}}}}});"
    return k.call("_".join(parts), body, names, f"t, {k.place()}, {offset}")


def exchange(k: Kernel, parts: list[str], args: list[str]) -> str:
    hows = {"up": "kUp", "down": "kDown", "bfly": "kButterfly", "idx": "kIndex"}
    if parts[:3] == ["vote", "sync", "ballot"]:
        given, by, clamp, lanes = f"u32(pred({k.operand(args[1])}))", "0", "31", args[2]
        how, into = "kBallot", args[0]
    elif parts[0] == "shfl" and parts[1] == "sync":
        how, into = hows[parts[2]], args[0]
        given, by, clamp = (f"u32({k.operand(a)})" for a in args[1:4])
        lanes = args[4]
    else:
        raise Unknown(".".join(parts))
    value, _, inside = into.partition("|")
    call = f"t.exchange({k.place()}, {how}, {given}, {by}, {clamp}, u32({k.operand(lanes)}), &in)"
    keep = f" {local(inside)} = in;" if inside else ""
    return f"{{ bool in = false; {local(value)} = {call};{keep} }}"


if __name__ == "__main__":
    print(translate(Path(sys.argv[1]).read_text()), end="")
