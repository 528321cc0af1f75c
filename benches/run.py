"""Runs the benchmarks on Taper and on PyTorch and prints the results as Markdown:  make bench

Each library lives in a process of its own; the two take turns, workload by workload and round by round, so that a
change of the machine's speed meets both. The result of a workload is the median over the rounds;
with --cpu-time, for machines that others use as well, it is the least CPU time of one thread.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

from workloads import GPU_ONLY, WORKLOADS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
LIBRARY = ROOT / "target" / "release" / "libtaper.so"
SMALL_OPS = ROOT / "target" / "benches" / "small_ops"


def environment():
    env = dict(os.environ)
    env["PYTHONPATH"] = str(ROOT / "bindings" / "python")
    env.setdefault("TAPER_LIBRARY", str(LIBRARY))
    return env


def cpu_model():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"model name\s*:\s*(.*)", text)
    flags = re.search(r"flags\s*:\s*(.*)", text)
    simd = [f for f in ("avx2", "avx512f") if flags and f in flags.group(1).split()]
    return f"{found.group(1) if found else platform.machine()} ({', '.join(simd) or 'no AVX2'})"


class Worker:
    def __init__(self, library, threads, device, clock):
        self.library = library
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), library, str(threads), device, clock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=str(HERE),
        )

    def run(self, name, seconds):
        self.process.stdin.write(json.dumps({"name": name, "seconds": seconds}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the {self.library} worker ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def human_time(seconds):
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def human_rate(unit, seconds):
    if unit is None:
        return ""
    name, amount = unit
    return f"{amount / seconds:,.0f} {name}/s" if amount / seconds >= 100 else f"{amount / seconds:.3g} {name}/s"


def table(header, rows):
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]

    def line(cells):
        return "| " + " | ".join(str(c).ljust(w) for c, w in zip(cells, widths)) + " |"

    print(line(header))
    print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    for row in rows:
        print(line(row))
    print()


def run_workloads(names, threads, rounds, seconds, device, torch_device, cpu_time):
    """Times in seconds per workload and library. Without a device for PyTorch, Taper runs alone."""
    clock = "cpu" if cpu_time else "wall"
    workers = [Worker("taper", threads, device, clock)]
    if torch_device:
        workers.append(Worker("torch", threads, torch_device, clock))
    rows, problems, results = [], [], {}
    for name in names:
        times = {w.library: [] for w in workers}
        for round_ in range(rounds):
            # Who goes first changes from round to round. The pause lets the other one's threads stop spinning.
            for worker in workers if round_ % 2 == 0 else workers[::-1]:
                time.sleep(0.25)
                answer = worker.run(name, seconds)
                if "error" in answer:
                    if round_ == 0:
                        problems.append(f"{name} ({worker.library}): {answer['error']}")
                else:
                    times[worker.library].append(answer["best" if cpu_time else "median"])
        typical = min if cpu_time else statistics.median
        median = {"torch": None} | {k: typical(v) if v else None for k, v in times.items()}
        results[name] = median
        unit = WORKLOADS[name][1]
        cells = [name]
        for library in ("taper", "torch"):
            cells.append(human_time(median[library]) if median[library] else "-")
        cells.append(f"{median['torch'] / median['taper']:.2f}" if all(median.values()) else "-")
        cells.append(human_rate(unit, median["taper"]) if median["taper"] else "")
        rows.append(cells)
        print(f"  {' | '.join(cells)}", file=sys.stderr, flush=True)
    for worker in workers:
        worker.close()
    table(("workload", "Taper", "PyTorch", "PyTorch / Taper", "Taper's rate"), rows)
    for problem in problems:
        print(f"- {problem}")
    return results


def run_comparisons(results):
    """What a device is measured by: its own copy bandwidth, and PyTorch without a graph."""
    copy = results.get("large: copy", {})
    rows = []
    for name, times in results.items():
        if not name.startswith("large: ") or not times["taper"] or not copy.get("taper"):
            continue
        gigabytes = WORKLOADS[name][1][1]
        bandwidth = max(WORKLOADS["large: copy"][1][1] / t for t in copy.values() if t)
        rate = gigabytes / times["taper"]
        rows.append((name[7:], f"{rate:,.0f} GB/s", f"{rate / bandwidth:.2f}"))
    if rows:
        table(("kernel over 256 MB", "rate", "of the copy bandwidth"), rows)
    replay = results.get("LeNet training step, batch 64, Adam, graph replay", {}).get("taper")
    eager = results.get("LeNet training step, batch 64, Adam", {}).get("torch")
    if replay and eager:
        print(f"LeNet training step: PyTorch eager takes {eager / replay:.2f} times as long as Taper's graph replay\n")


def child_cost(code, repeat=7):
    """Median wall time and peak memory of `python -c code`."""
    times, peak = [], 0
    for _ in range(repeat):
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", code], env=environment())
        _, status, usage = os.wait4(process.pid, 0)
        times.append(time.perf_counter() - begin)
        process.returncode = status
        if status != 0:
            return None
        peak = max(peak, usage.ru_maxrss)
    return statistics.median(times), peak / 1024


def run_start():
    programs = (
        ("bare Python", "pass"),
        ("import taper", "import taper"),
        ("import taper and a first op", "import taper; (taper.ones(2, 2) + 1).tolist()"),
        ("import torch", "import torch"),
        ("import torch and a first op", "import torch; (torch.ones(2, 2) + 1).tolist()"),
    )
    rows = []
    for name, code in programs:
        cost = child_cost(code)
        if cost is None:
            rows.append((name, "failed", ""))
        else:
            rows.append((name, f"{cost[0] * 1e3:.0f} ms", f"{cost[1]:.0f} MB"))
    table(("program", "time", "peak memory"), rows)


def folder_size(path):
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file() and not f.is_symlink())


def run_sizes():
    rows = []
    stripped = LIBRARY.with_name("libtaper.stripped")
    strip = subprocess.run(["strip", "-o", str(stripped), str(LIBRARY)], check=False)
    rows.append(("libtaper.so", f"{LIBRARY.stat().st_size / 1e6:.1f} MB"))
    if strip.returncode == 0:
        rows.append(("libtaper.so, stripped", f"{stripped.stat().st_size / 1e6:.1f} MB"))
        stripped.unlink()
    code = "import torch, pathlib; print(pathlib.Path(torch.__file__).parent)"
    torch_dir = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    rows.append(
        (
            "the installed package torch, without the CUDA packages",
            f"{folder_size(pathlib.Path(torch_dir)) / 1e6:,.0f} MB",
        )
    )
    table(("file", "size"), rows)


def run_small_ops():
    if not SMALL_OPS.exists():
        print(f"{SMALL_OPS.relative_to(ROOT)} was not built\n")
        return
    lines = subprocess.run([str(SMALL_OPS)], capture_output=True, text=True, check=True).stdout.splitlines()
    table(("call from C", "time"), [tuple(line.split("\t")) for line in lines])


def device_name(device):
    code = f"import taper; print(taper.{device.split(':')[0]}.get_device_name())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    return found.stdout.strip() or "unknown"


def torch_version():
    code = "import torch; print(torch.__version__)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads for both libraries")
    parser.add_argument("--rounds", type=int, default=5, help="turns for each library and workload")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--cpu-time", action="store_true", help="the least CPU time of one thread, on the CPU")
    parser.add_argument("--only", default="", help="workloads whose name contains this (or a|b)")
    parser.add_argument("--json", type=pathlib.Path, help="write the times (seconds) to this file as well")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or opencl; the set-up costs are shown for cpu only")
    parser.add_argument("--torch-device", help="PyTorch's device, where it is another; none: Taper alone")
    options = parser.parse_args()
    if options.cpu_time:
        options.threads = 1
    torch_device = options.device if options.torch_device is None else options.torch_device
    if torch_device == "none":
        torch_device = ""

    print(f"CPU: {cpu_model()}, {os.cpu_count()} cores visible, {options.threads} threads for both libraries  ")
    if options.cpu_time:
        print("The least CPU time of one thread  ")
    if options.device != "cpu":
        print(f"Taper on {options.device} ({device_name(options.device)}), PyTorch on {torch_device or 'no device'}  ")
    torch_text = f"PyTorch {torch_version()}" if torch_device else "no PyTorch"
    print(f"{torch_text}, Python {platform.python_version()}, {platform.system()} {platform.release()}\n")
    names = [name for name in WORKLOADS if any(part in name.lower() for part in options.only.lower().split("|"))]
    if options.device == "cpu":
        names = [name for name in names if name not in GPU_ONLY]
    else:  # what is there for devices comes first: time on them may be short
        names.sort(key=lambda name: name not in GPU_ONLY)
    results = run_workloads(
        names,
        options.threads,
        options.rounds,
        options.seconds,
        options.device,
        torch_device,
        options.cpu_time,
    )
    run_comparisons(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if not options.only and options.device == "cpu":
        run_small_ops()
        run_start()
        run_sizes()


if __name__ == "__main__":
    main()
