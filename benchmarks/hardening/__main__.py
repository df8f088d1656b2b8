"""Runs every attack, each in its own process: `python -m benchmarks.hardening [NAME …]`."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

from benchmarks import hardening


def attacks() -> list[str]:
    """The names of all attacks: the modules with a function `main`."""
    names = [found.name for found in pkgutil.iter_modules(hardening.__path__)]
    return [
        name
        for name in names
        if name != "__main__"
        and hasattr(importlib.import_module(f"{hardening.__name__}.{name}"), "main")
    ]


def main() -> None:
    chosen = sys.argv[1:] or attacks()
    failed = []
    for name in chosen:
        command = [sys.executable, "-m", f"{hardening.__name__}.{name}"]
        if subprocess.run(command).returncode != 0:
            failed.append(name)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} attacks survived")
    if failed:
        sys.exit(f"not survived: {', '.join(failed)}")


if __name__ == "__main__":
    main()
