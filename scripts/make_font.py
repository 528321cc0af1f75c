"""Draws the letters of plots (src/show/font.bin) from DejaVu Sans Mono, whose licence (Bitstream Vera's) allows it.

    .venv/bin/python scripts/make_font.py

For each character from space to tilde 14 rows of 8 pixels of 4 bits, the left one in the upper half of a byte. Needs Pillow
and matplotlib, which brings the typeface.
"""

import pathlib

import matplotlib
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 8, 14
font = ImageFont.truetype(pathlib.Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf", 13)
out = bytearray()
for code in range(32, 127):
    image = Image.new("L", (WIDTH, HEIGHT), 0)
    ImageDraw.Draw(image).text((0, -1), chr(code), 255, font)
    pixels = image.tobytes()
    out += bytes((pixels[i] >> 4) << 4 | pixels[i + 1] >> 4 for i in range(0, len(pixels), 2))
path = pathlib.Path(__file__).parent.parent / "src/show/font.bin"
path.write_bytes(out)
print(f"{path.name}: {len(out)} bytes")
