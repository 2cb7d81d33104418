"""Look a seam's module up by name: the folder is the table, so a new method is a new file and edits no other
stage's code.
"""

from importlib import import_module
from types import ModuleType


def load(package: str, name: str) -> ModuleType:
    """The module `package.name`. The stage's code digest holds it because the stage's parameters name it
    (`settings.seam`).
    """
    return import_module(f"{package}.{name}")
