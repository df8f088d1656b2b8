"""Writes the bill of materials of what `requirements.lock` installs, as CycloneDX JSON.

    python -m tools.sbom > dist/sbom.json

Everything comes from the lock and `pyproject.toml`, so the same lock gives the same bytes on any
machine.
"""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> Iterator[dict[str, Any]]:
    """One component per pinned version of a package: its URL and the hashes of files.

    Some packages have another version for other machines.
    """
    # A package and its hashes are one logical line.
    for line in lock.replace("\\\n", " ").splitlines():
        if found := _PINNED.match(line):
            name, version = found["name"].lower(), found["version"]
            url = f"pkg:pypi/{name}@{version}"
            yield {
                "type": "library",
                "bom-ref": url,
                "name": name,
                "version": version,
                "purl": url,
                # A package has a hash per file, of which a machine installs one.
                "externalReferences": [
                    {
                        "type": "distribution",
                        "url": f"https://pypi.org/project/{name}/{version}/",
                        "hashes": [
                            {"alg": "SHA-256", "content": digest}
                            for digest in sorted(_HASH.findall(line))
                        ],
                    }
                ],
            }


def bill(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """The whole bill for a project of `pyproject.toml`."""
    own = f"pkg:pypi/{project['name'].replace('_', '-')}@{project['version']}"
    found = sorted(components(lock), key=lambda each: (each["name"], each["version"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, own + lock).urn,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "purl": own,
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": found,
        "dependencies": [{"ref": own, "dependsOn": [each["bom-ref"] for each in found]}],
    }


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(json.dumps(bill(LOCK.read_text(encoding="utf-8"), project), indent=2))


if __name__ == "__main__":
    main()
