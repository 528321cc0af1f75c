"""Data sets, tables and images from files, as tensors of the CPU."""

from ctypes import byref, c_bool

from .. import _c
from .._tensor import wrap
from .._types_gen import DTYPE

_idx, _cifar, _csv = _c.proto("read_idx"), _c.proto("read_cifar"), _c.proto("read_csv")
_image, _decode, _folder = _c.proto("read_image"), _c.proto("decode_image"), _c.proto("image_folder")
_resize = _c.proto("image_resize")


def _check(error):
    if error:
        _c.fail(error)


def read_idx(path):
    """The array of an IDX file (MNIST and its kin), plain or compressed by gzip."""
    o, p = _c.tls.o
    _check(_idx(_c.path_bytes(path), p))
    return wrap(o.value)


def read_cifar(path, classes=10):
    """Images, uint8 [n, 3, 32, 32], and labels, int64, of a binary file of CIFAR-10 or CIFAR-100; plain or compressed by gzip.

    Labels are [n]; of CIFAR-100 (`classes=100`) [n, 2] with the coarse ones first.
    """
    a, p, b, q = _c.tls.o2
    _check(_cifar(_c.path_bytes(path), classes, p, q))
    return wrap(a.value), wrap(b.value)


def read_csv(path, separator=",", header=None, missing=float("nan"), dtype=None):
    """A table of numbers, plain or compressed by gzip, as (values of [rows, columns], list of the columns' names).

    `separator` is one character; " " stands for any run of spaces and tabs. `header` says whether the first line has names
    (None: whether one of its fields is no number); without, the list is empty. `missing` is put where a field is empty, NA,
    N/A, nan, null, None or ?. `dtype` is a floating-point one (None: the default).
    """
    a, p, b, q = _c.tls.o2
    told = None if header is None else byref(c_bool(header))
    code = DTYPE["NONE"] if dtype is None else dtype.code
    _check(_csv(_c.path_bytes(path), _c.text(separator), told, missing, code, p, q))
    values = wrap(a.value)
    return values, _c.take_string(b.value).split("\n")[:-1]


def read_image(path, channels=0):
    """A PNG or JPEG file as uint8 [channels, rows, columns].

    `channels` is 0 (as the file has it), 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
    """
    o, p = _c.tls.o
    _check(_image(_c.path_bytes(path), channels, p))
    return wrap(o.value)


def decode_image(data, channels=0):
    """The same of a file's bytes."""
    data = bytes(data)
    o, p = _c.tls.o
    _check(_decode(data, len(data), channels, p))
    return wrap(o.value)


def image_folder(folder):
    """(paths, labels, classes) of a folder that has a folder of images (.png, .jpg, .jpeg) for each class."""
    a, p, b, q, c, r = _c.tls.o3
    _check(_folder(_c.path_bytes(folder), p, q, r))
    labels = wrap(b.value)
    paths, classes = (_c.take_string(h.value).split("\n")[:-1] for h in (a, c))
    return paths, labels, classes


def resize_image(images, size, filter="bilinear"):
    """Images, uint8 or floating-point, with the last two dimensions resized to `size` (rows, columns) as Pillow does.

    `filter` is "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos". Floats have gradients.
    """
    rows, columns = size
    o, p = _c.tls.o
    _check(_resize(images._h, rows, columns, _c.text(filter), p))
    return wrap(o.value)
