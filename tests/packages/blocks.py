"""Writes the first program of a page and what it prints:  blocks.py docs/C.md c PROGRAM EXPECTED

A page's programs are its fenced blocks of that language; the block of `text` after one is what it prints. Fails where the
page has none.
"""

import re
import sys

page, language, program, expected = sys.argv[1:]
blocks = re.findall(r"^```(\w+)\n(.*?)^```$", open(page, encoding="utf-8").read(), re.M | re.S)
for (kind, text), (after, output) in zip(blocks, blocks[1:]):
    if kind == language and after == "text":
        open(program, "w", encoding="utf-8").write(text)
        open(expected, "w", encoding="utf-8").write(output)
        break
else:
    sys.exit(f"{page} has no block of {language} with one of text, what it prints, after it")
