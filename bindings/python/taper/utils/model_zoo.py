"""The older home of `torch.hub`'s functions."""

from ..hub import _get_torch_home as get_torch_home  # noqa: F401
from ..hub import download_url_to_file as _download_url_to_file  # noqa: F401
from ..hub import load_state_dict_from_url as load_url

__all__ = ["load_url", "tqdm"]


class _Plain:
    """A progress bar that shows nothing, where tqdm is not installed."""

    def __init__(self, iterable=None, *args, **kwargs):
        self.iterable = iterable

    def __iter__(self):
        return iter(self.iterable)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def update(self, n=1):
        pass

    def close(self):
        pass


try:
    from tqdm.auto import tqdm
except ImportError:
    tqdm = _Plain
