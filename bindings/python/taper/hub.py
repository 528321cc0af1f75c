"""`torch.hub`: models from a folder with a `hubconf.py`, and state dicts from the cache. Nothing is downloaded from GitHub."""

import os
import sys

__all__ = [
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "set_dir",
]

_hub_dir = None
_list = list


def get_dir():
    """Where files are kept: what set_dir set, $TORCH_HOME/hub, $XDG_CACHE_HOME/torch/hub or ~/.cache/torch/hub."""
    if _hub_dir is not None:
        return _hub_dir
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return os.path.join(os.path.expanduser(home), "hub")


def set_dir(d):
    """Sets where files are kept."""
    global _hub_dir
    _hub_dir = os.path.expanduser(d)


def _configuration(folder):
    """The module `hubconf.py` of a folder."""
    from importlib.util import module_from_spec, spec_from_file_location

    path = os.path.join(folder, "hubconf.py")
    if not os.path.exists(path):
        raise FileNotFoundError(f"torch.hub: {folder!r} has no hubconf.py")
    sys.path.insert(0, folder)
    try:
        spec = spec_from_file_location("hubconf", path)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    missing = [n for n in getattr(module, "dependencies", ()) if not _is_there(n)]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _is_there(package):
    from importlib.util import find_spec

    if package == "torch":
        return True
    return package in sys.modules or find_spec(package) is not None


def _folder(repo_or_dir, source):
    source = source.lower()
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "local":
        return os.fspath(repo_or_dir)
    # What PyTorch has fetched lies in its cache.
    owner, _, name = str(repo_or_dir).partition("/")
    name, _, branch = name.partition(":")
    for ref in [branch] if branch else ["main", "master"]:
        folder = os.path.join(get_dir(), "_".join([owner, name, ref.replace("/", "_")]))
        if os.path.exists(folder):
            return folder
    raise RuntimeError(
        f"torch.hub: {repo_or_dir!r} is not in {get_dir()!r} and Taper downloads no code; clone the repository and pass its "
        "folder with source='local'"
    )


def _entry(module, name):
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    function = getattr(module, name, None)
    if not callable(function):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return function


def list(github, force_reload=False, skip_validation=False, trust_repo="check", verbose=True, *, source="github"):
    """The entry points of a repository in the cache, or of a folder with source='local'."""
    module = _configuration(_folder(github, source))
    return [n for n in dir(module) if callable(getattr(module, n)) and not n.startswith("_")]


def help(github, model, force_reload=False, skip_validation=False, trust_repo="check", *, source="github"):
    """The documentation of an entry point."""
    return _entry(_configuration(_folder(github, source)), model).__doc__


def load(
    repo_or_dir,
    model,
    *args,
    source="github",
    trust_repo="check",
    force_reload=False,
    verbose=True,
    skip_validation=False,
    **kwargs,
):
    """Calls an entry point of a folder's hubconf.py (source='local'), or of a repository that is in the cache."""
    return _entry(_configuration(_folder(repo_or_dir, source)), model)(*args, **kwargs)


def download_url_to_file(url, dst, hash_prefix=None, progress=True):
    """Downloads a file; its SHA-256 must begin with hash_prefix."""
    import hashlib
    import tempfile
    import urllib.request

    dst = os.path.expanduser(dst)
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers={"User-Agent": "taper.hub"}))
    except OSError as error:
        raise RuntimeError(
            f"torch.hub: cannot download {url!r} ({error}); put the file at {dst!r}, where it is looked for"
        ) from error
    digest = hashlib.sha256()
    handle, part = tempfile.mkstemp(dir=os.path.dirname(dst) or ".", suffix=".partial")
    try:
        with response, os.fdopen(handle, "wb") as f:
            while block := response.read(1 << 17):
                f.write(block)
                digest.update(block)
        if hash_prefix is not None and digest.hexdigest()[: len(hash_prefix)] != hash_prefix:
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
        os.replace(part, dst)
    finally:
        if os.path.exists(part):
            os.remove(part)


def load_state_dict_from_url(
    url,
    model_dir=None,
    map_location=None,
    progress=True,
    check_hash=False,
    file_name=None,
    weights_only=True,
):
    """A state dict of the cache, which is downloaded if it is not there."""
    import re
    from urllib.parse import urlparse

    from .serialization import load as read

    model_dir = model_dir or os.path.join(get_dir(), "checkpoints")
    os.makedirs(model_dir, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(model_dir, name)
    if not os.path.exists(path):
        prefix = None
        if check_hash:
            found = re.search(r"-([a-f0-9]*)\.", name)
            prefix = found.group(1) if found else None
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        download_url_to_file(url, path, prefix, progress)
    return read(path, map_location=map_location)
