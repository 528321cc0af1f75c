"""Shortens an episode in which fuzz.c fails: leaves steps out as long as the failure stays, then prints what is left.

tests/fuzz/minimise.py KEY --seed S --first EPISODE [OPTIONS OF fuzz.c]; KEY is (a part of) the failure's name. FUZZ names
the program (target/fuzz/fuzz).
"""

import os
import subprocess
import sys

key, arguments = sys.argv[1], sys.argv[2:]
program = os.environ.get("FUZZ", "target/fuzz/fuzz")
length = int(arguments[arguments.index("--length") + 1]) if "--length" in arguments else 250


def run(keep, *more):
    left_out = []
    for step in range(length):
        if step not in keep:
            if left_out and left_out[-1][1] == step - 1:
                left_out[-1][1] = step
            else:
                left_out.append([step, step])
    skip = ",".join(f"{a}-{b}" for a, b in left_out)
    command = [program, *arguments, "--episodes", "1", *(["--skip", skip] if skip else []), *more]
    done = subprocess.run(command, capture_output=True)
    return (done.stdout + done.stderr).decode(errors="replace")


keep = set(range(length))
if key not in run(keep):
    raise SystemExit(f"{key!r} does not come up")
size = length // 2
while size:
    steps = sorted(keep)
    for begin in range(0, len(steps), size):
        shorter = keep - set(steps[begin : begin + size])
        if key in run(shorter):
            keep = shorter
    size //= 2
print(run(keep, "--trace"))
