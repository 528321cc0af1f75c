"""Finds libtaper.so and checks that it speaks this package's version of the C ABI."""

import os
import sys
from ctypes import CDLL, PyDLL, c_char_p, c_uint32

ABI_VERSION = 1


def _candidates():
    names = ("libtaper.dylib",) if sys.platform == "darwin" else ("libtaper.so", f"libtaper.so.{ABI_VERSION}")
    package = os.path.dirname(os.path.abspath(__file__))
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(package)))
    for folder in (package, os.path.join(checkout, "target", "release")):
        for name in names:
            yield os.path.join(folder, name)


def _find():
    named = os.environ.get("TAPER_LIBRARY")
    if named:
        if not os.path.exists(named):
            raise OSError(f"TAPER_LIBRARY names {named!r}, which does not exist")
        return named
    tried = []
    for path in _candidates():
        if os.path.exists(path):
            return path
        tried.append(path)
    # The loader's own search: LD_LIBRARY_PATH, the system's folders.
    name = "libtaper.dylib" if sys.platform == "darwin" else f"libtaper.so.{ABI_VERSION}"
    try:
        CDLL(name)
        return name
    except OSError:
        raise OSError(
            f"the Taper library was not found. Looked for {', '.join(tried)} and for {name} in the system's library "
            "folders. Run `make` in the checkout, or set TAPER_LIBRARY to the file."
        ) from None


def _check(library, path):
    try:
        version = library.taper_abi_version
        text = library.taper_version
    except AttributeError:
        raise OSError(f"{path} is not a Taper library: it has no symbol taper_abi_version") from None
    version.restype, version.argtypes = c_uint32, ()
    text.restype, text.argtypes = c_char_p, ()
    if version() != ABI_VERSION:
        raise OSError(
            f"{path} (Taper {text().decode()}) has C ABI version {version()}, this package needs version {ABI_VERSION}: "
            "install the library and the package of the same release"
        )
    return text().decode()


path = _find()
# `lib` releases the interpreter lock during a call; `quick` keeps it, for calls that only read or free something.
lib = CDLL(path)
quick = PyDLL(path)
library_version = _check(lib, path)
