"""Which strategy decides? With `strategy = "recommended"`, the one that is worth most.

A strategy's worth is the mean over all customers of what its perk is worth to each: 1 if the
evidence supports the perk, 0 if not. A share is lost if last month's perk was another one, since
offers that change without reason cannot be relied on, and another share if the odd and the even
sessions of the customer would give different perks.

A strategy in service is replaced only by one that is worth more beyond noise. Verdicts near the
bound come and go, so its perks are given the benefit of the doubt: they also count as supported
if they are so before the correction for the number of tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.evidence.config import LEARNED, RECOMMENDED, Config
from traveltide_assets.evidence.reliability import unreliable
from traveltide_assets.evidence.tables import DECISION, NOT_TRIED, SUPPORTED, TOO_LITTLE

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference"
IN_SERVICE, NO_RIVAL = "in service", "no rival"
_Z = 1.96


@dataclass(frozen=True)
class Offers:
    """What a strategy offers: `customers` now, `before` last month, and `twice` from the halves."""

    customers: pd.DataFrame
    before: pd.DataFrame | None
    twice: pd.DataFrame

    def worth(self, supported: pd.Index, config: Config) -> pd.Series:
        """What the perk of each customer is worth, from 0 to 1, by `user_id`."""
        rows = self.customers.set_index("user_id")
        value = pd.Series(1.0, index=rows.index)
        if self.before is not None:
            was = self.before.set_index("user_id")["perk"].reindex(rows.index)
            value -= config.weight_steady * (was.notna() & (was != rows["perk"]))
        value -= config.weight_reliable * rows.index.isin(unreliable(self.twice))
        return value * rows["perk"].isin(supported)


def supported_perks(
    evidence: pd.DataFrame, strategy: str, doubtful: float | None = None
) -> pd.Index:
    """The perks of a strategy that the evidence supports.

    `doubtful` is a level: perks that reach it without correction for the number of tests count too.
    """
    rows = evidence[evidence["strategy"] == strategy]
    holds = rows["verdict"] == SUPPORTED
    if doubtful is not None:
        tried = ~rows["verdict"].isin([TOO_LITTLE, NOT_TRIED])
        holds |= tried & (rows["p_value"] <= doubtful) & (rows["lift_low"] > 1)
    return pd.Index(rows.loc[holds, "perk"])


def decide(
    setting: str,
    offers: Mapping[str, Offers],
    evidence: pd.DataFrame,
    previous: str | None,
    cohort: pd.Series,
    config: Config,
) -> pd.DataFrame:
    """One row per strategy: its worth, that of the one in service, and which decides the month.

    `setting` is the setting `strategy`; `LEARNED` decides as `RECOMMENDED` does. `previous` is the
    strategy that decided the latest month before, `cohort` the ids of all customers. The noise of a
    difference is its 95 % interval over customers, each of whom is compared with themselves.
    """
    worths = {
        name: each.worth(supported_perks(evidence, name), config).reindex(cohort, fill_value=0.0)
        for name, each in offers.items()
    }
    table = pd.DataFrame(
        {
            "strategy": list(offers),
            "worth": [float(worth.mean()) if len(worth) else 0.0 for worth in worths.values()],
            "supported_share": [_supported_share(n, o, evidence) for n, o in offers.items()],
        }
    )
    serves = previous is not None and previous in offers and len(offers[previous].customers) > 0
    in_service = previous if serves else None
    table = table.join(_against(in_service, worths, offers, evidence, config))
    best = table["worth"].idxmax()
    table["recommended"] = (table.index == best) & (table["worth"] > 0)
    name, because = _chosen(setting, table, in_service, config)
    return table.assign(
        in_service=in_service, decides=table["strategy"] == name, because=because
    ).reindex(columns=[*DECISION.column_names])


def deciding(decision: pd.DataFrame) -> str:
    """The strategy that decides, by a stored decision."""
    (name,) = decision.loc[decision["decides"], "strategy"]
    return str(name)


def _supported_share(name: str, offers: Offers, evidence: pd.DataFrame) -> float:
    if offers.customers.empty:
        return 0.0
    return float(offers.customers["perk"].isin(supported_perks(evidence, name)).mean())


def _against(
    in_service: str | None,
    worths: Mapping[str, pd.Series],
    offers: Mapping[str, Offers],
    evidence: pd.DataFrame,
    config: Config,
) -> pd.DataFrame:
    """The difference of each strategy to the one in service, with its interval and verdict."""
    nothing = dict.fromkeys(("difference", "difference_low", "difference_high"), np.nan)
    if in_service is None:
        return pd.DataFrame([nothing | {"verdict": NO_RIVAL} for _ in worths])
    doubtful = supported_perks(evidence, in_service, doubtful=config.alpha)
    index = worths[in_service].index
    defended = offers[in_service].worth(doubtful, config).reindex(index, fill_value=0.0)
    rows = []
    for name, worth in worths.items():
        if name == in_service:
            rows.append(nothing | {"verdict": IN_SERVICE})
            continue
        apart = worth - defended
        mean, noise = apart.mean(), _Z * apart.std(ddof=0) / np.sqrt(max(len(apart), 1))
        low, high = mean - noise, mean + noise
        verdict = BETTER if low > config.switch_margin else WORSE if high < 0 else NO_DIFFERENCE
        rows.append(
            {
                "difference": float(mean),
                "difference_low": float(low),
                "difference_high": float(high),
                "verdict": verdict,
            }
        )
    return pd.DataFrame(rows)


def _chosen(
    setting: str, table: pd.DataFrame, in_service: str | None, config: Config
) -> tuple[str, str]:
    """The strategy that decides, and why."""
    if setting not in (RECOMMENDED, LEARNED):
        return setting, "the setting `strategy` names it"
    recommended = table.loc[table["recommended"], ["strategy", "verdict"]].to_dict("records")
    if not recommended and in_service is None:
        return config.fallback, "no strategy has a supported perk, and evidence.fallback names it"
    if not recommended:
        return str(in_service), "no strategy has a supported perk; the one in service stays"
    name, verdict = recommended[0]["strategy"], recommended[0]["verdict"]
    if in_service is None:
        return name, "it is worth most, and no other decided before"
    if name == in_service:
        return name, "it is in service and worth most"
    if verdict == BETTER:
        return name, f"it is worth more than {in_service} beyond noise"
    return in_service, f"{name} is not worth more beyond noise; the one in service stays"
