"""The explorer: one file to mail around, with charts that follow a choice of customers.

It opens without a network and holds counts and averages only. Of each pair of dimensions it has a
table of customers; cells of fewer than ten, and those that would give them away, are left out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from traveltide_assets.report import phrases, words
from traveltide_assets.report.dimensions import AVERAGES, DIMENSIONS, Dimension, families
from traveltide_assets.report.disclosure import disclosable, disclosable_pairs
from traveltide_assets.report.segment_words import called
from traveltide_assets.segmentation.naming import LABELS

_PACKAGE = "traveltide_assets.report"
# Not by the package of the desk, which would be imported for a file.
_VEGA = files("traveltide_assets") / "serving" / "desk" / "static" / "vega.min.js"
_EXPORTS = re.compile(r"export\{([^}]*)\};?\s*$")


def render(
    month: str,
    features: pd.DataFrame,
    assignments: pd.DataFrame,
    titles: Mapping[str, str],
    notice: str | None,
) -> str:
    """The explorer as one HTML page: no requests, the same bytes for the same input.

    `features` and `assignments` have one row per customer of the month, `titles` are the perks' by
    id. Dimensions whose features may not be used are left out.
    """
    data = _data(features, assignments, titles)
    script = _script(data)
    style = (files(_PACKAGE) / "explorer.css").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("explorer.html.j2").render(
        month=words.month_name(month),
        notice=notice,
        customers=f"{len(assignments):,}",
        dimensions=[{"key": each["key"], "label": each["label"]} for each in data["dimensions"]],
        script=script,
        style=style,
        # Nothing runs but what this page was made with.
        allowed_script=_digest(script),
        allowed_style=_digest(style),
    )


def _digest(text: str) -> str:
    """The hash by which a security policy allows an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _script(data: Mapping[str, Any]) -> str:
    """Vega, the data and what links them, as one module."""
    from traveltide_assets.report.linked_bars import bars_of_groups, filled

    vega = _VEGA.read_text("utf-8")
    exports = _EXPORTS.search(vega)
    if exports is None:
        raise ValueError("vega.min.js does not end with what it exports")
    named = dict(pair.split(" as ") for pair in exports[1].split(","))
    bound = "".join(f"const {name}={inner};" for inner, name in named.items())
    linked = (files(_PACKAGE) / "explorer.js").read_text("utf-8")
    made = f"const SPEC={_json(filled(bars_of_groups(), [], 0))};const DATA={_json(data)};"
    # A block of its own: short names of Vega may be those of the rest.
    whole = f"{vega[: exports.start()]}\n{{{bound}\n{made}\n{linked}\n}}"
    return whole.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _json(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(value, sort_keys=True, allow_nan=False).replace("<", "\\u003c")


def _data(
    features: pd.DataFrame, assignments: pd.DataFrame, titles: Mapping[str, str]
) -> dict[str, Any]:
    people = _people(features, assignments, titles)
    shown = [each for each in DIMENSIONS if each.shown and each.column in people]
    groups = {each.key: each.groups(people[each.column]) for each in shown}
    codes = {each.key: each.codes(people[each.column], groups[each.key]) for each in shown}
    known = [name for name in AVERAGES if name in people]
    return {
        "customers": len(people),
        "averages": [LABELS[name][:1].upper() + LABELS[name][1:] for name in known],
        "all": _means(people, known, np.ones(len(people), dtype=bool)),
        "dimensions": [
            _dimension(each, groups[each.key], codes[each.key], people, known) for each in shown
        ],
        "pairs": {
            one.key: {
                other.key: _pair(codes[one.key], codes[other.key], groups, one.key, other.key)
                for other in shown
                if other is not one
            }
            for one in shown
        },
    }


def _people(
    features: pd.DataFrame, assignments: pd.DataFrame, titles: Mapping[str, str]
) -> pd.DataFrame:
    """One row per customer with the columns of the dimensions, as far as they may be used."""
    people = assignments[["user_id", "segment", "perk"]].merge(
        features.drop(columns=["segment", "perk"], errors="ignore"), on="user_id"
    )
    people["segment"] = people["segment"].map(called)
    people["perk"] = people["perk"].map(lambda perk: titles.get(perk, perk))
    if {"married", "has_children"} <= set(people):
        people["family"] = families(
            people["married"].to_numpy(bool), people["has_children"].to_numpy(bool)
        )
    return people


def _dimension(
    dimension: Dimension,
    groups: list[str],
    codes: np.ndarray,
    people: pd.DataFrame,
    known: list[str],
) -> dict[str, Any]:
    """A dimension: the label, size and means of each group; none of a group that is not shown."""
    sizes = np.bincount(codes, minlength=len(groups))
    shown = disclosable(sizes)
    return {
        "key": dimension.key,
        "label": dimension.label,
        "groups": [dimension.says(group) for group in groups],
        "sizes": _told(sizes, shown),
        "means": [
            _means(people, known, codes == place) if shown[place] and sizes[place] else None
            for place in range(len(groups))
        ],
    }


def _means(people: pd.DataFrame, known: list[str], mask: np.ndarray) -> list[str]:
    means = people.loc[mask, known].astype("float64").mean()
    return [phrases.number(name, means[name]) for name in known]


def _pair(
    rows: np.ndarray, columns: np.ndarray, groups: Mapping[str, list[str]], one: str, other: str
) -> list[list[int | None]]:
    """The customers of each pair of groups; None where they may not be shown."""
    shape = len(groups[one]), len(groups[other])
    table = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)
    shown = disclosable_pairs(table)
    return [_told(table[place], shown[place]) for place in range(shape[0])]


def _told(sizes: np.ndarray, shown: np.ndarray) -> list[int | None]:
    return [int(size) if show else None for size, show in zip(sizes, shown, strict=True)]
