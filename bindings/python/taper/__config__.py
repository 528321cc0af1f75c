"""How the library was built (`torch.__config__`)."""


def show():
    """A text about the build."""
    from . import _lib, _settings
    from ._devices import properties

    cpu = properties("cpu")
    lines = [
        f"Taper {_lib.library_version} built with:",
        f"  - library: {_lib.path}",
        f"  - CPU: {cpu.name}, {cpu.version or cpu.driver}",
        f"  - threads: {_settings.get_num_threads()}",
    ]
    return "\n".join(lines) + "\n"


def parallel_info():
    """A text about threads."""
    import os

    from . import _settings

    return (
        f"Taper's threads:\n\ttaper.get_num_threads() : {_settings.get_num_threads()}\n"
        f"\ttaper.get_num_interop_threads() : {_settings.get_num_interop_threads()}\n"
        f"hardware threads : {os.cpu_count()}\n"
    )
