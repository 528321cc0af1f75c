"""Puts the library into the package: the one that $TAPER_BUNDLE names, the checkout's, or one that cargo builds here.

What is said of the project stands in pyproject.toml; the version is the one of Cargo.toml.
"""

import os
import re
import shutil
import subprocess

import setuptools
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(os.path.dirname(HERE))
# A source distribution carries what cargo needs in a folder of its own.
CORE = next((d for d in (os.path.join(HERE, "core"), CHECKOUT) if os.path.exists(os.path.join(d, "Cargo.toml"))), None)
LICENSES = ("LICENSE-MIT", "LICENSE-APACHE")
SOURCES = ("Cargo.toml", "Cargo.lock", "build.rs", "src", "crates", "spec", "include", "tools", *LICENSES)


def version():
    with open(os.path.join(CORE, "Cargo.toml"), encoding="utf-8") as f:
        return re.search(r'^version = "(.*)"', f.read(), re.M).group(1)


def library():
    named = os.environ.get("TAPER_BUNDLE")
    if named:
        return named
    # A source distribution builds its own, whatever lies where the environment says.
    elsewhere = os.environ.get("CARGO_TARGET_DIR") if CORE == CHECKOUT else None
    target = elsewhere or os.path.join(CORE, "target")
    path = os.path.join(target, "release", "libtaper.so")
    if not os.path.exists(path):
        try:
            subprocess.run(
                ["cargo", "build", "--release", "--locked", "--lib", "--target-dir", target], cwd=CORE, check=True
            )
        except FileNotFoundError:
            raise SystemExit("cargo was not found, which builds the library: install Rust, https://rustup.rs") from None
    return path


class BuildPy(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            package = os.path.join(self.build_lib, "taper")
            self.mkpath(package)
            shutil.copyfile(library(), os.path.join(package, "libtaper.so"))


class Distribution(setuptools.Distribution):
    def has_ext_modules(self):
        """What makes it a package of one platform."""
        return True


class Wheel(bdist_wheel):
    """Any Python 3 runs it."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class Sdist(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        leave_out = shutil.ignore_patterns("target", "__pycache__", ".*")
        for name in SOURCES:
            path, to = os.path.join(CORE, name), os.path.join(base_dir, "core", name)
            if os.path.isdir(path):
                shutil.copytree(path, to, ignore=leave_out)
            elif os.path.exists(path):
                os.makedirs(os.path.dirname(to), exist_ok=True)
                shutil.copy2(path, to)


# setuptools takes licences from beside pyproject.toml only.
for name in LICENSES:
    if not os.path.exists(os.path.join(HERE, name)):
        shutil.copy2(os.path.join(CORE, name), HERE)

setuptools.setup(
    version=version(), distclass=Distribution, cmdclass={"build_py": BuildPy, "bdist_wheel": Wheel, "sdist": Sdist}
)
