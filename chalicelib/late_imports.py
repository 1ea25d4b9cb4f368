"""Modules that are imported when something of them is first used.

An import adds to every cold start, needed or not. `importlib.util.LazyLoader` does not
serve here: an `import` statement that finds its module loads it.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from threading import Lock
from types import ModuleType
from typing import Any

SPARED = ("configparser", "email.header", "importlib.metadata", "locale", "shutil")
"""What botocore, urllib3 and the modules under them import, and no request needs."""

_replacing = Lock()


class _LateModule(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a module holds
        return getattr(_import(self), name)


def spare() -> None:
    """Keep from a cold start what the libraries import and no request needs.

    To be called before the libraries are imported.
    """
    for name in SPARED:
        import_when_used(name)
    late = sys.modules["importlib.metadata"]
    if isinstance(late, _LateModule):
        # urllib3 takes this function when it is imported, and calls it for HTTP/2 only.
        late.version = _later(late, "version")  # type: ignore[attr-defined]


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


def _import(late: ModuleType) -> ModuleType:
    """Return the module that another one stands for."""
    with _replacing:
        if sys.modules.get(late.__name__) is late:
            del sys.modules[late.__name__]
    return import_module(late.__name__)


def _later(late: ModuleType, name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:  # noqa: ANN401 - those of the function
        return getattr(_import(late), name)(*args)

    return call
