"""Renders the tables of a README from the catalogues: `python -m traveltide_assets.docs FILE`.

What stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced; the rest stays.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import dagster as dg
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.definitions import build_definitions
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.settings import PACKAGE, Settings
from traveltide_assets.transforms.cleaning.rules import DUPLICATES, REFUSALS, REPAIRS
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets.transforms.outcomes import OUTCOMES

_OUTCOMES = {outcome.name: outcome.description for outcome in OUTCOMES}
_LAYERS = ("bronze", "silver", "gold")


def render(text: str) -> str:
    """The text with every marked table rendered anew."""
    for name, section in _SECTIONS.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        body = section()
        text = pattern.sub(partial(_filled, body), text)
    return text


def _filled(body: str, match: re.Match[str]) -> str:
    return f"{match[1]}{body}\n{match[2]}"


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines += [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _lineage() -> str:
    assets = build_definitions(Settings(source=PACKAGE)).resolve_asset_graph()
    keys = sorted(assets.materializable_asset_keys)
    lines = ["```mermaid", "flowchart LR", "  source[(users, sessions, flights, hotels)]"]
    lines += ["  catalogue[(perks.toml)]"]
    for layer in _LAYERS:
        lines.append(f"  subgraph {layer}")
        lines += [f"    {_node(k)}[{'/'.join(k.path[1:])}]" for k in keys if k.path[0] == layer]
        lines.append("  end")
    for key in keys:
        parents = assets.get(key).parent_keys - {key}
        lines += [f"  {_node(parent)} --> {_node(key)}" for parent in sorted(parents)]
        origin = "source" if key.path[0] == "bronze" else "catalogue"
        lines += [f"  {origin} --> {_node(key)}"] if not parents else []
    return "\n".join([*lines, "```"])


def _node(key: dg.AssetKey) -> str:
    return "_".join(key.path)


def _rules() -> str:
    rows: list[tuple[str, str, str, str]] = [
        ("all", "`missing_<column>`", "refuses", "a required value is empty"),
        ("all", "`unreadable_<column>`", "refuses", "the text is not of the column's type"),
    ]
    for name in SOURCES:
        rows += [(name, f"`{rule.name}`", "refuses", rule.reason) for rule in REFUSALS[name]]
    rows += [("all", f"`{name}`", "refuses", reason) for name, reason in DUPLICATES.items()]
    for name in SOURCES:
        rows += [(name, f"`{rule.name}`", "repairs", rule.reason) for rule in REPAIRS[name]]
    return _table(("table", "rule", "it", "because"), rows)


def _features() -> str:
    return _table(
        ("feature", "unit", "from", "meaning"),
        ((f"`{f.name}`", f.unit, f.source, f.description) for f in CATALOGUE),
    )


def _perks() -> str:
    return _table(
        ("perk", "id", "for who", "features that speak for it", "shown by"),
        (
            (
                perk.title,
                f"`{perk.id}`",
                perk.audience,
                ", ".join(f"`{name}`" for name in perk.features),
                _OUTCOMES[perk.outcome],
            )
            for perk in load_perks(PACKAGE / "catalogue" / "perks.toml")
        ),
    )


def _strategies() -> str:
    settings = Settings(source=PACKAGE)
    strategies = build_strategies(settings, load_perks(settings.perks_file))
    return _table(
        ("strategy", "how"), ((f"`{s.name}`", s.description) for s in strategies.values())
    )


def _settings() -> str:
    return _table(
        ("in `traveltide.toml`", "in the environment", "default", "meaning"), _fields(Settings, ())
    )


def _fields(model: type[BaseModel], path: tuple[str, ...]) -> Iterable[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        here = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, here)
            continue
        default = "" if field.default in (None, PydanticUndefined) else _shown(field.default)
        variable = f"`TRAVELTIDE_{'__'.join(here).upper()}`"
        yield f"`{'.'.join(here)}`", variable, default, field.description or ""


def _shown(default: object) -> str:
    if isinstance(default, Path):
        inside = default.is_relative_to(PACKAGE)
        return f"`{default.relative_to(PACKAGE.parent) if inside else default}`"
    return ", ".join(default) if isinstance(default, tuple) else f"`{default}`"


_SECTIONS: dict[str, Callable[[], str]] = {
    "lineage": _lineage,
    "settings": _settings,
    "rules": _rules,
    "features": _features,
    "perks": _perks,
    "strategies": _strategies,
}


def main(path: Path) -> None:
    path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
