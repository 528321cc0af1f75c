"""Compiles kernels with the real NVRTC, which needs no GPU:  python nvrtc.py --list FOLDER [--dump FOLDER] ...

--list   kernels without prelude (TAPER_KERNEL_LIST of the Rust test kernels::enumerate); the CUDA prelude and common.h
         are put before them
--dump   whole sources as the backend gave them to NVRTC (TAPER_KERNEL_DUMP)

Every source is compiled to a cubin for every architecture. Printed are, per kernel file, the registers, the bytes of
stack, of spilled registers' frames (local memory that is not an array of the kernel's: unknown to the cubin, so the whole frame
is shown) and of group memory, as the cubin's .nv.info sections and section headers tell them. An error of the compiler, or a
kernel that NO_STACK names with a frame, fails the run.
"""

import argparse
import concurrent.futures
import ctypes
import glob
import hashlib
import json
import os
import pathlib
import re
import struct
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = ROOT / "src" / "backend" / "kernels"
# What the CUDA backend passes to NVRTC, but for the architecture.
OPTIONS = ["--fmad=false", "--std=c++17", "--device-as-default-execution-space"]
# Kernels in which every value must stay in registers: a frame would be a spill (they have no local arrays that are
# indexed at run time).
NO_STACK = ("reduce", "elementwise", "cast", "chain", "softmax", "optimizer_step", "pool", "gemm_tiled")
# Bytes that are let pass: NVRTC 13.0 puts an address or two of four of gemm_tiled's variants there (13.2 does not), although
# registers are left over.
LET_PASS = {"gemm_tiled": 16}


def find_library():
    """libnvrtc where pip puts it, or what the loader finds."""
    for folder in sys.path:
        for pattern in ("nvidia/cu*/lib/libnvrtc.so.*", "nvidia/cuda_nvrtc/lib/libnvrtc.so.*"):
            found = sorted(f for f in glob.glob(os.path.join(folder, pattern)) if "alt" not in f)
            if found:
                return found[0]
    return "libnvrtc.so.13"


class Nvrtc:
    def __init__(self, path):
        # The built-ins library lies beside it and is opened by name.
        for builtins in glob.glob(os.path.join(os.path.dirname(path), "libnvrtc-builtins.so.*")):
            ctypes.CDLL(builtins, mode=ctypes.RTLD_GLOBAL)
        self.lib = ctypes.CDLL(path)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def compile(self, source, name, options):
        """The cubin and the log; cubin is None after an error."""
        program = ctypes.c_void_p()
        text = source.encode()
        if self.lib.nvrtcCreateProgram(ctypes.byref(program), text, name.encode(), 0, None, None) != 0:
            return None, "nvrtcCreateProgram failed"
        array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        status = self.lib.nvrtcCompileProgram(program, len(options), array)
        size = ctypes.c_size_t()
        self.lib.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self.lib.nvrtcGetProgramLog(program, log)
        cubin = None
        if status == 0:
            self.lib.nvrtcGetCUBINSize(program, ctypes.byref(size))
            buffer = ctypes.create_string_buffer(size.value)
            self.lib.nvrtcGetCUBIN(program, buffer)
            cubin = buffer.raw
        self.lib.nvrtcDestroyProgram(ctypes.byref(program))
        return cubin, log.value.decode(errors="replace")


def sections(cubin):
    """Name, info field, link field and bytes of each section of an ELF file; symbols by number."""
    (shoff,) = struct.unpack_from("<Q", cubin, 40)
    shentsize, shnum, shstrndx = struct.unpack_from("<HHH", cubin, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", cubin, shoff + i * shentsize) for i in range(shnum)]
    names = headers[shstrndx]

    def text(base, offset):
        end = cubin.index(b"\0", base + offset)
        return cubin[base + offset : end].decode()

    out = {}
    for h in headers:
        # SHT_NOBITS has a size and no bytes.
        data = b"" if h[1] == 8 else cubin[h[4] : h[4] + h[5]]
        out[text(names[4], h[0])] = {"info": h[7], "link": h[6], "size": h[5], "data": data}
    symbols = []
    table = out.get(".symtab")
    if table:
        strings = headers[table["link"]]
        symbols = [text(strings[4], struct.unpack_from("<I", table["data"], i)[0]) for i in range(0, table["size"], 24)]
    return out, symbols


def figures(cubin):
    """Registers, frame and group memory of each kernel of a cubin."""
    found, symbols = sections(cubin)
    out = {}
    frames, registers = {}, {}
    data, at = found[".nv.info"]["data"], 0
    while at + 4 <= len(data):
        form, attribute = data[at], data[at + 1]
        # Form 4 has its size in the next two bytes; the others keep the value there.
        size = struct.unpack_from("<H", data, at + 2)[0] if form == 4 else 0
        if form == 4 and size == 8:
            symbol, value = struct.unpack_from("<II", data, at + 4)
            name = symbols[symbol] if symbol < len(symbols) else ""
            if attribute == 0x11:  # EIATTR_FRAME_SIZE
                frames[name] = value
            elif attribute == 0x2F:  # EIATTR_REGCOUNT
                registers[name] = value
        at += 4 + size
    for section, s in found.items():
        if section.startswith(".text."):
            name = section[6:]
            shared = found.get(f".nv.shared.{name}", {"size": 0})["size"]
            # The upper byte of sh_info holds the registers where .nv.info does not.
            out[name] = {
                "registers": registers.get(name, s["info"] >> 24),
                "frame": frames.get(name, 0),
                "shared": shared,
            }
    return out


_nvrtc = None


def work(job):
    global _nvrtc
    library, label, path, source, arch, cache = job
    key = hashlib.sha256(f"{library}\n{arch}\n{OPTIONS}\n{source}\n3".encode()).hexdigest()
    kept = pathlib.Path(cache) / f"{key}.json"
    try:
        return json.loads(kept.read_text())
    except (OSError, ValueError):
        pass
    if _nvrtc is None:
        _nvrtc = Nvrtc(library)
    cubin, log = _nvrtc.compile(source, path, [f"--gpu-architecture=sm_{arch}", *OPTIONS])
    result = {"label": label, "arch": arch, "error": None, "log": log}
    if cubin is None:
        result["error"] = log or "no message"
        return result
    result["kernels"] = figures(cubin)
    temporary = kept.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(result))
    temporary.rename(kept)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", type=pathlib.Path)
    parser.add_argument("--dump", type=pathlib.Path)
    parser.add_argument("--short", action="store_true", help="a quarter of the list, a twelfth of the dump")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--prelude", type=pathlib.Path, default=KERNELS / "prelude_cuda.h")
    parser.add_argument("--arch", default="90,80")
    parser.add_argument("--library", default="")
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "target" / "nvrtc-cache")
    parser.add_argument("--only", default="", help="sources whose name contains this")
    options = parser.parse_args()
    library = options.library or find_library()
    version = Nvrtc(library).version
    options.cache.mkdir(parents=True, exist_ok=True)

    sources = []
    head = options.prelude.read_text() + (KERNELS / "common.h").read_text()
    for path in sorted(options.list.glob("*.cl")) if options.list else []:
        sources.append((path.stem, head + path.read_text()))
    seen = set()
    for path in sorted(options.dump.glob("*.cu")) if options.dump else []:
        # What a test of the error message compiled is not a kernel of ours.
        if path.stem.startswith("broken-"):
            continue
        # By the hash at the end of the name, so that the choice does not depend on what else is there.
        if options.short and int(path.stem[-8:], 16) % 12 != 0:
            continue
        text = path.read_text()
        if text not in seen:
            seen.add(text)
            sources.append((path.stem, text))
    sources = [s for s in sources if options.only in s[0]]
    if not sources:
        sys.exit("no kernels to compile")
    archs = options.arch.split(",")
    # Labels are sorted: what shares the part before the first point differs in the dtype. The first of each is kept, and
    # of the others a quarter, another one for each architecture.
    families = [label.split(".")[0] for label, _ in sources]
    jobs = [
        (library, label, f"{label}.cu", text, arch, str(options.cache))
        for a, arch in enumerate(archs)
        for i, (label, text) in enumerate(sources)
        if not options.short or i % 4 == a or (a == 0 and (i == 0 or families[i] != families[i - 1]))
    ]
    begin = time.time()
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        results = list(pool.map(work, jobs, chunksize=16))
    # Programs of several functions have no name that says so.
    with_cosines = {label for label, text in sources if re.search(r"\b(sin|cos)\(", text.rsplit("__global__", 1)[-1])}
    failed = [r for r in results if r["error"]]
    frames = []
    groups = {}
    for r in results:
        if r["error"]:
            continue
        family = re.split(r"[-.]", r["label"])[0]
        for name, f in r["kernels"].items():
            g = groups.setdefault((family, r["arch"]), [0, 0, 0, 0, 0])
            g[0] += 1
            g[1] = max(g[1], f["registers"])
            g[2] = max(g[2], f["frame"])
            g[3] += f["frame"] > 0
            g[4] = max(g[4], f["shared"])
            # A frame that accuracy costs: the reduction of large arguments of sin, cos and tan keeps its digits there.
            if (
                family in NO_STACK
                and f["frame"] > LET_PASS.get(family, 0)
                and not re.search(r"\b(sin|cos|tan|lgamma|digamma|polynomial)\b", r["label"], re.I)
                and r["label"] not in with_cosines
            ):
                frames.append(f"{r['label']} (sm_{r['arch']}): kernel {name} has a frame of {f['frame']} bytes")
    print(
        f"NVRTC {version}: {len(jobs)} of {len(sources)} sources for {', '.join('sm_' + a for a in archs)} in {time.time() - begin:.0f} s"
    )
    print(
        "kernels of              arch  number  registers  frame bytes  with frame  group memory   (most of any kernel)"
    )
    for (family, arch), g in sorted(groups.items()):
        print(f"{family:22}  sm_{arch}  {g[0]:6}  {g[1]:9}  {g[2]:11}  {g[3]:10}  {g[4]:12}")
    for r in failed[:10]:
        errors = [line for line in r["error"].splitlines() if "warning" not in line and "error" in line]
        print(f"--- {r['label']} does not compile for sm_{r['arch']} ---")
        print("\n".join(errors[:5]) or r["error"][:500])
    for line in frames[:40]:
        print(line)
    if failed or frames:
        sys.exit(f"{len(failed)} sources do not compile; {len(frames)} kernels have a frame that they should not have")


if __name__ == "__main__":
    main()
