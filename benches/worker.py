"""Times workloads in one library, on request:  python worker.py torch|taper THREADS DEVICE [wall|cpu]

Reads lines of JSON, {"name": ..., "seconds": ...}, and answers each with a line: {"best": ..., "median": ...} in
seconds per call, or {"error": ...}.
"""

import importlib
import json
import sys
import time

from workloads import WORKLOADS

SHORTEST = 2e-4  # seconds of a group of calls on the CPU


def measure(call, seconds, clock, wait, shortest):
    """Calls `call` for about `seconds` and gives the best and the median time of a call.

    Short calls are timed in groups of at least `shortest` seconds, because reading the clock and waiting for a device
    cost time too. `wait` returns when the device is idle.
    """
    for _ in range(3):
        call()
    wait()
    group = 1
    while True:
        begin = clock()
        for _ in range(group):
            call()
        wait()
        if clock() - begin > shortest:
            break
        group *= 2
    times = []
    end = time.perf_counter() + seconds
    while True:
        begin = clock()
        for _ in range(group):
            call()
        wait()
        times.append((clock() - begin) / group)
        if time.perf_counter() >= end and len(times) >= 3:
            break
    times.sort()
    return {"best": times[0], "median": times[len(times) // 2]}


def main():
    library = importlib.import_module(sys.argv[1])
    threads = int(sys.argv[2])
    library.set_num_threads(threads)
    device = sys.argv[3] if len(sys.argv) > 3 else "cpu"
    clock = time.thread_time if sys.argv[4:] == ["cpu"] else time.perf_counter
    wait, shortest = (lambda: None), SHORTEST
    if device != "cpu":
        library.set_default_device(device)
        wait, shortest = getattr(library, device.split(":")[0]).synchronize, 5e-3
    prepared = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["name"]
        try:
            if name not in prepared:
                prepared.clear()  # the data of one workload at a time
                prepared[name] = WORKLOADS[name][0](library)
            answer = measure(prepared[name], request["seconds"], clock, wait, shortest)
        except Exception as error:  # a missing operator must not end the whole run
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
