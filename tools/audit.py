"""Looks the pinned packages up in PyPI's list of known vulnerabilities, by pip-audit.

Without a network nothing can be looked up: it says so and succeeds. It fails if a vulnerability is
known, or if the check itself fails.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request

from tools.sbom import LOCK

SERVICE = "https://pypi.org/pypi/pip/json"
# pip-audit is no dependency: `uvx` fetches this version of it when it is needed.
COMMAND = [
    *("uvx", "pip-audit@2.9.0", "--requirement", str(LOCK)),
    *("--disable-pip", "--require-hashes", "--progress-spinner", "off"),
]
_SECONDS = 10


def reaches(service: str) -> bool:
    """Whether the list of vulnerabilities can be reached from this machine."""
    try:
        with urllib.request.urlopen(service, timeout=_SECONDS):  # noqa: S310 - a constant
            return True
    except OSError:  # which HTTP errors are, too
        return False


def main(service: str = SERVICE, command: list[str] = COMMAND) -> int:
    """The exit code: 0 if nothing is known or nothing could be looked up, else another."""
    if not reaches(service):
        print(f"SKIPPED: {service} cannot be reached, so {LOCK.name} was not audited")
        return 0
    try:
        code = subprocess.run(command).returncode
    except FileNotFoundError:
        print(f"{command[0]} is not installed, so {LOCK.name} was not audited")
        return 2
    print("no known vulnerability" if code == 0 else "vulnerabilities, or no answer: see above")
    return code


if __name__ == "__main__":
    sys.exit(main())
