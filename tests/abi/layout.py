"""Reads taper.h and prints the body of layout.c: a statement for each struct, field and constant."""

import re
import sys

text = re.sub(r"/\*.*?\*/", "", open(sys.argv[1]).read(), flags=re.S)
for body, name in re.findall(r"typedef struct taper_\w+ \{(.*?)\n\} (taper_\w+);", text, flags=re.S):
    print(f"    SIZE({name});")
    # Function pointers first: their parameters hold semicolons of no struct, but commas and names.
    body = re.sub(r"\(\*(\w+)\)\s*\(.*?\)", r"\1", body, flags=re.S)
    for field in re.findall(r"(\w+)(?:\[\w*\])?;", body):
        print(f"    FIELD({name}, {field});")
# The version's numbers change with each release.
for name in re.findall(r"^#define (TAPER_(?!VERSION_)\w+) \(?-?\d", text, flags=re.M):
    print(f'    printf("{name} %lld\\n", (long long){name});')
