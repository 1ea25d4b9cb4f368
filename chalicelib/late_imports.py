"""Modules that are imported when something of them is first used.

An import adds to every cold start, needed or not. `importlib.util.LazyLoader` does not
serve here: an `import` statement that finds its module loads it.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from threading import Lock
from types import ModuleType

_VERSIONS = "importlib.metadata"

SPARED = ("configparser", "email.header", _VERSIONS, "locale", "shutil")
"""What botocore, urllib3 and the modules under them import, and no request needs."""

_replacing = Lock()


class _LateModule(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> object:
        return getattr(_import(self.__name__), name)


def spare() -> None:
    """Keep from a cold start what the libraries import and no request needs.

    To be called before the libraries are imported.
    """
    for name in SPARED:
        import_when_used(name)
    late = sys.modules[_VERSIONS]
    if isinstance(late, _LateModule):
        # urllib3 takes this function when it is imported, and calls it for HTTP/2 only.
        vars(late)["version"] = _version


def import_when_used(name: str) -> None:
    """Let a module be imported when something of it is first used."""
    spec = None if name in sys.modules else find_spec(name)
    if spec:
        module = module_from_spec(spec)
        module.__class__ = _LateModule
        sys.modules[name] = module
        package, _, own = name.rpartition(".")
        if package:
            setattr(sys.modules[package], own, module)


def _import(name: str) -> ModuleType:
    """Import a module that another one stands for."""
    with _replacing:
        if isinstance(sys.modules.get(name), _LateModule):
            del sys.modules[name]
    return import_module(name)


def _version(distribution: str) -> str:
    return str(_import(_VERSIONS).version(distribution))
