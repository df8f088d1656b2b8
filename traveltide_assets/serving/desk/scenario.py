"""Scenarios: what somebody wants decided otherwise, in a page's address and as a settings file."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SHARE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?")
SHARES = {
    "holdout": "Held out from mails",
    "least": "At least, of each perk that something speaks for",
    "most": "At most, of each such perk",
    "exploration": "Perk drawn at random, of those written to",
}
"""The shares that a scenario sets, in percent, by their names in an address."""
_MANY = {"leave", "forbid"}
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
MONEY = {"margin": "Margin, in percent of what is spent", "budget": "Budget of a month, in USD"}
"""What a scenario sets of money, by names in an address. Empty: not set."""
PRICES = {
    "cost_usd": "Cost, USD",
    "expected_redemption": "Redemption, %",
    "max_customers": "Most customers",
    "max_cost_usd": "Most cost, USD",
}
"""What a scenario sets of each perk, by the names of the catalogue. Empty: not set."""
Price = tuple[str, str, float | int | None]


class NotAScenario(TravelTideError):
    """What was asked for cannot be decided. The message says what can."""


@dataclass(frozen=True)
class Scenario:
    """What decides otherwise than the settings do: shares are from 0 to 1.

    `left_out` are perks that nobody gets, `forbidden` features that may not be used beyond those
    that the settings forbid. `least` and `most` bound the share of each perk of the strategy
    *traits*. `margin` and `budget` (USD) are those of the economics, `prices` what perks have
    otherwise than the catalogue: perk, name in `PRICES`, value.
    """

    strategy: str
    left_out: tuple[str, ...]
    forbidden: tuple[str, ...]
    holdout: float
    least: float
    most: float
    exploration: float = 0.0
    margin: float | None = None
    budget: float | None = None
    prices: tuple[Price, ...] = ()

    @classmethod
    def decided(cls, strategy: str, settings: Settings) -> Scenario:
        """What a strategy decides by the settings as they are."""
        traits = settings.traits
        economics = settings.economics
        return cls(
            strategy,
            (),
            (),
            settings.campaign.holdout_share,
            traits.min_share,
            traits.max_share,
            settings.exploration.share,
            economics.margin_rate,
            economics.budget_usd,
        )

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[str, str]],
        base: Scenario,
        strategies: Mapping[str, Strategy],
        perks: Iterable[Perk],
        features: Iterable[str],
    ) -> Scenario:
        """The scenario of what a form sends. Whatever it does not name is as in `base`."""
        single: dict[str, str] = {}
        several: dict[str, list[str]] = {name: [] for name in _MANY}
        catalogue = {perk.id: perk for perk in perks}
        prices: dict[tuple[str, str], float | int | None] = {}
        for key, value in pairs:
            if key in several:
                several[key].append(value)
            elif key == "strategy" or key in SHARES or key in MONEY:
                single[key] = value
            elif (place := _place(key)) and place[0] in catalogue:
                prices[place] = _price(place[1], value)
            else:
                raise NotAScenario(f"nothing is decided by {key!r}")
        found = cls(
            strategy=_one_of(single.get("strategy", base.strategy), strategies, "strategy"),
            left_out=_some_of(several["leave"], catalogue, "perk"),
            forbidden=_some_of(several["forbid"], features, "feature"),
            **{
                name: _share(single[name]) if name in single else getattr(base, name)
                for name in SHARES
            },
            margin=_margin(single["margin"]) if "margin" in single else base.margin,
            budget=_number(single["budget"]) if "budget" in single else base.budget,
            prices=tuple(
                (perk, name, value)
                for (perk, name), value in sorted(prices.items())
                if value != getattr(catalogue[perk], name)
            ),
        )
        if found.budget is not None and found.margin is None:
            raise NotAScenario("a budget needs a margin: it says who is worth the money")
        if found.least > found.most:
            raise NotAScenario("the least share of a perk is larger than the largest")
        return found

    def applied(self, settings: Settings) -> Settings:
        """The settings with what the scenario sets."""
        forbidden = (*settings.policy.forbidden_features, *self.forbidden)
        return settings.model_copy(
            update={
                "strategy": self.strategy,
                "policy": settings.policy.model_copy(update={"forbidden_features": forbidden}),
                "campaign": settings.campaign.model_copy(update={"holdout_share": self.holdout}),
                "exploration": settings.exploration.model_copy(update={"share": self.exploration}),
                "economics": settings.economics.model_copy(
                    update={"margin_rate": self.margin, "budget_usd": self.budget}
                ),
                "traits": settings.traits.model_copy(
                    update={"min_share": self.least, "max_share": self.most}
                ),
            }
        )

    def priced(self, perks: Iterable[Perk]) -> tuple[Perk, ...]:
        """The perks with the costs, redemption and caps of the scenario."""
        return tuple(
            perk.model_copy(update={name: v for of, name, v in self.prices if of == perk.id})
            for perk in perks
        )

    def pairs(self) -> list[tuple[str, str]]:
        """What a form sends for it."""
        return [
            ("strategy", self.strategy),
            *(("leave", perk) for perk in self.left_out),
            *(("forbid", name) for name in self.forbidden),
            *((name, percent(getattr(self, name))) for name in SHARES),
            ("margin", "" if self.margin is None else percent(self.margin)),
            ("budget", plain(self.budget)),
            *((f"{name}.{perk}", price(name, value)) for perk, name, value in self.prices),
        ]


def percent(share: float) -> str:
    """A share as a form shows it, without the sign."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")


def plain(value: float | None) -> str:
    """A number as a form shows it; nothing if it is not set."""
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")


def price(name: str, value: float | None) -> str:
    """A value of `PRICES` as a form shows it: redemption in percent."""
    return plain(100 * value if name == "expected_redemption" and value is not None else value)


def _place(key: str) -> tuple[str, str] | None:
    """The perk and the name that a field is of; None if it is of no perk."""
    name, dot, perk = key.partition(".")
    return (perk, name) if dot and name in PRICES else None


def _price(name: str, text: str) -> float | int | None:
    if name == "expected_redemption":
        return _share(text) if text.strip() else None
    value = _number(text)
    if value is None or name != "max_customers":
        return value
    if value != int(value):
        raise NotAScenario(f"{text!r} is no number of customers")
    return int(value)


def _margin(text: str) -> float | None:
    value = _share(text) if text.strip() else None
    if value == 0:
        raise NotAScenario("a margin is more than 0 percent; leave it empty to leave money out")
    return value


def _number(text: str) -> float | None:
    if not text.strip():
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise NotAScenario(f"{text!r} is no amount: write a number, or nothing")
    return float(text)


def _one_of(value: str, known: Iterable[str], what: str) -> str:
    if value not in (names := list(known)):
        raise NotAScenario(f"{value!r} is no {what} here; choose from {', '.join(names)}")
    return value


def _some_of(values: list[str], known: Iterable[str], what: str) -> tuple[str, ...]:
    names = list(known)
    return tuple(sorted({_one_of(value, names, what) for value in values}))


def _share(text: str) -> float:
    value = float(text) / 100 if _SHARE.fullmatch(text.strip()) else -1.0
    if not 0 <= value <= 1:
        raise NotAScenario(f"{text!r} is no share: write a percentage from 0 to 100")
    return value


def save(name: str, scenario: Scenario, settings: Settings, said: str) -> Path:
    """Write the scenario under a name that is not taken, and return its file.

    `said` is a line on what it was made of. Perks that are left out, or cost otherwise, need a
    catalogue of their own, which lies beside it.
    """
    if not _NAME.fullmatch(name):
        raise NotAScenario(
            "a name has up to 40 small letters, digits and hyphens, and begins with none of these"
        )
    own = Scenario.decided(scenario.strategy, settings)
    for what in MONEY:
        if getattr(scenario, what) is None and getattr(own, what) is not None:
            raise NotAScenario(f"a scenario cannot take back the {what} that the settings set")
    folder = settings.scenarios
    folder.mkdir(parents=True, exist_ok=True)
    file, catalogue = folder / f"{name}.toml", folder / f"{name}.perks.toml"
    if file.exists() or catalogue.exists():
        raise NotAScenario(f"there is a scenario {name!r} already; choose another name")
    other = bool(scenario.left_out or scenario.prices)
    if other:
        _create(catalogue, _catalogue(settings.perks_file, scenario, said))
    _create(file, _toml(scenario, settings, catalogue.name if other else None, said))
    return file


def file_of(name: str, settings: Settings) -> Path | None:
    """The file of a saved scenario; None if there is none of this name."""
    file = settings.scenarios / f"{name}.toml"
    return file if _NAME.fullmatch(name) and file.is_file() else None


def _create(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise NotAScenario(f"{file.name} exists already; choose another name") from None


def _toml(scenario: Scenario, settings: Settings, catalogue: str | None, said: str) -> str:
    applied = scenario.applied(settings)
    lines = [f"# {said}", f"strategy = {json.dumps(scenario.strategy)}"]
    if catalogue:
        lines.append(f"perks_file = {json.dumps(catalogue)}")
    lines += [
        "",
        "[policy]",
        f"forbidden_features = {json.dumps(list(applied.policy.forbidden_features))}",
        "",
        "[campaign]",
        f"holdout_share = {scenario.holdout}",
        "",
        "[traits]",
        f"min_share = {scenario.least}",
        f"max_share = {scenario.most}",
        "",
        "[exploration]",
        f"share = {scenario.exploration}",
    ]
    if scenario.margin is not None:
        lines += ["", "[economics]", f"margin_rate = {scenario.margin}"]
    if scenario.budget is not None:
        lines.append(f"budget_usd = {scenario.budget}")
    return "\n".join(lines) + "\n"


def _catalogue(file: Path, scenario: Scenario, said: str) -> str:
    """The catalogue file without some perks and with other prices, its comments left out."""
    entries = tomllib.loads(file.read_text("utf-8"))["perk"]
    kept = [entry for entry in entries if entry["id"] not in scenario.left_out]
    for entry in kept:
        entry |= {name: value for perk, name, value in scenario.prices if perk == entry["id"]}
        for name in [name for name, value in entry.items() if value is None]:
            del entry[name]
    return f"# {said}\n\n" + "\n".join(_entry(entry) for entry in kept)


def _entry(entry: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in entry.items() if not isinstance(value, dict)}
    nested = {key: value for key, value in entry.items() if isinstance(value, dict)}
    lines = ["[[perk]]", *(f"{key} = {_value(value)}" for key, value in plain.items())]
    for key, table in nested.items():
        lines += [f"[perk.{key}]", *(f"{name} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A value as TOML: its texts, numbers, truth values and lists are written as JSON's are."""
    # TOML knows no pairs of surrogates, by which JSON would escape letters beyond the first plane.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
