"""The version."""

from ._lib import library_version as __version__

cuda = None
hip = None
git_version = "unknown"
debug = False
__all__ = ["__version__"]
