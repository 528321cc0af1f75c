"""`python -m taper.run script.py args...`: runs a script written for PyTorch, with `torch` meaning Taper.

Inside, `torch` and each `torch.x.y` are the modules `taper` and `taper.x.y` themselves, never second copies.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec


class _Loader(Loader):
    def create_module(self, spec):
        module = import_module("taper" + spec.name[5:])
        self.spec, self.name = module.__spec__, module.__name__
        return module

    def exec_module(self, module):
        # The import system has marked the module as another one: undo that, it is loaded already.
        module.__spec__, module.__name__ = self.spec, self.name
        module.__package__ = self.spec.parent
        module.__loader__ = self.spec.loader


class Finder(MetaPathFinder):
    """Finds `torch` and what lies under it in Taper."""

    def find_spec(self, name, path=None, target=None):
        if name != "torch" and not name.startswith("torch."):
            return None
        try:
            real = import_module("taper" + name[5:])
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("taper"):
                raise ModuleNotFoundError(f"No module named {name!r} in Taper", name=name) from None
            raise
        return ModuleSpec(name, _Loader(), is_package=hasattr(real, "__path__"))


def install():
    """Makes `import torch` give Taper in this process; again is fine. A PyTorch that is loaded already is an error.

    `__version__` is PyTorch's from then on, whose names and values these are; `torch.version.taper` stays Taper's."""
    if any(isinstance(f, Finder) for f in sys.meta_path):
        return
    loaded = sys.modules.get("torch")
    if loaded is not None and loaded.__name__ != "taper":
        raise RuntimeError("torch is imported already: install Taper's alias before anything imports PyTorch")
    sys.meta_path.insert(0, Finder())
    # Packages ask `torch` for its version: here that of PyTorch whose names and values these are.
    import taper
    from taper import version
    from taper.provide_torch import VERSION
    from taper.torch_version import TorchVersion

    taper.__version__ = TorchVersion(VERSION)
    version.__version__ = VERSION


def main(argv=None):
    """Runs the script that the arguments name, as `python script.py` would."""
    import os
    import runpy

    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: python -m taper.run script.py [arguments...]\n       python -m taper.run -m module [arguments...]"
        )
        return 0 if argv else 2
    install()
    if argv[0] == "-m":
        if len(argv) < 2:
            print("taper.run: -m needs the name of a module", file=sys.stderr)
            return 2
        sys.argv = argv[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
        return 0
    if not os.path.exists(argv[0]):
        print(f"taper.run: can't open file {argv[0]!r}", file=sys.stderr)
        return 2
    sys.argv = list(argv)
    sys.path[0] = os.path.dirname(os.path.abspath(argv[0]))
    runpy.run_path(argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
