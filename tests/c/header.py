"""Reads taper.h, for the programs that make a call of every function: arguments.py and tests/fuzz/generate.py."""

import re
import subprocess
from dataclasses import dataclass


@dataclass
class Header:
    structs: set  # names of structs with fields
    sized: set  # those that begin with struct_size
    opaque: set  # types of handles
    functions: (
        list  # (result, name, [(type, parameter)]); a parameter that is a function has its whole declaration as type
    )


def read(path):
    text = subprocess.run(["cc", "-E", "-P", path], check=True, capture_output=True, text=True).stdout
    text = re.sub(r"\s+", " ", text)
    structs = set(re.findall(r"typedef struct (taper_\w+) \{", text))
    sized = set(re.findall(r"typedef struct (taper_\w+) \{ size_t struct_size;", text))
    opaque = set(re.findall(r"typedef struct (taper_\w+) taper_\w+ ?;", text)) - structs
    functions = []
    for result, function, arguments in re.findall(
        r"([\w ]+?\**) ?\b(taper_\w+) ?\(([^()]*(?:\([^()]*\)[^()]*)*)\) ?;", text
    ):
        result = re.sub(r"\[\[nodiscard\]\]|__attribute__.*?\)\)|^.*\}", "", result).strip()
        result = " ".join(w for w in result.split() if w != "extern")
        params = []
        for a in re.split(r",(?![^()]*\))", arguments):
            a = a.strip()
            if a in ("void", ""):
                continue
            match = re.fullmatch(r"(.*?\W)(\w+)", a)
            pointer = re.search(r"\(\*(\w+)\)", a)
            params.append((a, pointer[1]) if pointer else (match[1].strip(), match[2]))
        functions.append((result, function, params))
    if len(functions) < 600:
        raise SystemExit(f"only {len(functions)} functions were found in {path}")
    return Header(structs, sized, opaque, functions)
