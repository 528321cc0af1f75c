#!/usr/bin/env python3
"""Writes data/digits/: the UCI handwritten digits as four IDX files, split at random into training and test.

Needs scikit-learn, which carries the 1,797 images (`pip install scikit-learn`). The files are committed, so this
script only documents where they came from and how the split was drawn; running it again changes nothing.
"""

import pathlib
import random
import struct

from sklearn.datasets import load_digits

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "digits"
SEED = 20260101
UNSIGNED_BYTE = 0x08  # the IDX code of the element type


def write_idx(path, sizes, data):
    """IDX: two zero bytes, the type, the number of dimensions, each size as a big-endian u32, then the elements."""
    header = struct.pack(f">BBBB{len(sizes)}I", 0, 0, UNSIGNED_BYTE, len(sizes), *sizes)
    path.write_bytes(header + data)


def main():
    digits = load_digits()
    images = digits.images.astype("uint8")  # whole numbers 0 to 16
    labels = digits.target.astype("uint8")
    n = len(images)

    # `random.Random` is the same in every version of Python; the test set is 20 % of the images, in file order.
    test = sorted(random.Random(SEED).sample(range(n), n // 5))
    is_test = set(test)
    train = [i for i in range(n) if i not in is_test]

    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "test-indices.txt").write_text("".join(f"{i}\n" for i in test))
    # The names are MNIST's, so a program that reads this folder reads MNIST's folder too.
    for name, rows in (("train", train), ("t10k", test)):
        write_idx(OUT / f"{name}-images-idx3-ubyte", (len(rows), 8, 8), images[rows].tobytes())
        write_idx(OUT / f"{name}-labels-idx1-ubyte", (len(rows),), labels[rows].tobytes())
        print(f"{name}: {len(rows)} images")


if __name__ == "__main__":
    main()
