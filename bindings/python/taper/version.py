"""The version."""

from ._lib import library_version

__version__ = taper = library_version

cuda = None
hip = None
git_version = "unknown"
debug = False
__all__ = ["__version__"]
