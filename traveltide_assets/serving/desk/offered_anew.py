"""What a scenario offers, costs and is expected to bring, beside the offers of a release."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from traveltide_assets.campaign import net_value, offers, release_files
from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.catalogue.perks import NO_OFFER, Perk, Program
from traveltide_assets.experiment.assignment import EXPLORATION
from traveltide_assets.report import words
from traveltide_assets.report.disclosure import FEWEST
from traveltide_assets.serving.desk.decision import Decision
from traveltide_assets.settings import Settings


@dataclass(frozen=True)
class Anew:
    """A month decided anew: perks and segments of its customers, and what it was decided with.

    `perks` have the costs and caps of the scenario, `settings` what else it sets. Of a sample of
    the customers, money and caps are the share of it.
    """

    assigned: pd.DataFrame
    segments: pd.DataFrame
    features: pd.DataFrame
    perks: tuple[Perk, ...]
    program: Program
    settings: Settings

    @property
    def perk(self) -> pd.Series:
        """The perk of each customer, by `user_id`."""
        return self.assigned.set_index("user_id")["perk"]


def offered(decision: Decision, anew: Anew) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The offers and the budget curve of a month decided anew.

    Raises `SettingsError` if what is drawn at random alone exceeds budget or caps. Whoever was not
    written to in the release is not written to here.
    """
    share = len(anew.assigned) / max(len(decision.assignments), 1)
    economics = anew.settings.economics
    if economics.budget_usd is not None:
        money = {"budget_usd": economics.budget_usd * share}
        economics = economics.model_copy(update=money)
    perks = tuple(_of_sample(perk, share) for perk in anew.perks)
    net_value.check_caps(perks, economics)
    rules = offers.Rules(
        decision.month,
        perks,
        anew.program,
        anew.settings.campaign,
        anew.settings.experiment,
        anew.settings.exploration,
        economics,
    )
    left_out = frozenset(anew.assigned["user_id"]) - frozenset(decision.campaign.index)
    arms = decision.release.frame(release_files.ARMS)
    arms = arms[arms["user_id"].isin(anew.assigned["user_id"])]
    return offers.decide(
        anew.assigned, anew.segments, anew.features, Suppressed(left_out, None), arms, rules
    )


def _of_sample(perk: Perk, share: float) -> Perk:
    if share == 1:
        return perk
    customers, cost = perk.max_customers, perk.max_cost_usd
    caps = {
        "max_customers": None if customers is None else int(customers * share),
        "max_cost_usd": None if cost is None else cost * share,
    }
    return perk.model_copy(update=caps)


def figures(decision: Decision, anew: Anew) -> list[tuple[str, str, str]]:
    """Label, decided and what if: who is offered a perk, at which cost, for which net value."""
    made, curve = offered(decision, anew)
    scale = len(decision.assignments) / max(len(anew.assigned), 1)
    before = decision.offers
    known = before is not None and decision.has(release_files.BUDGET_CURVE)
    drawn = decision.release.frame(release_files.BUDGET_CURVE) if known else curve.iloc[:0]
    sides = ((before, drawn, 1.0), (made, curve, scale))
    rows = {
        "Customers who are offered a perk": [_customers(offer, by) for offer, _, by in sides],
        "Customers whose perk is drawn at random": [_explore(offer, by) for offer, _, by in sides],
        "Expected cost of the offers": [_cost(curve, by) for _, curve, by in sides],
        "Expected net value (95 % band by chance)": [_net(curve, by) for _, curve, by in sides],
    }
    return [(label, *map(str, both)) for label, both in rows.items()]  # type: ignore[misc]


def _customers(made: pd.DataFrame | None, scale: float) -> str:
    return words.NONE if made is None else _told(int((made["offer"] != NO_OFFER).sum()), scale)


def _explore(made: pd.DataFrame | None, scale: float) -> str:
    if made is None:
        return words.NONE
    return _told(int((made["arm"] == EXPLORATION).sum()), scale)


def _told(customers: int, scale: float) -> str:
    return f"fewer than {FEWEST}" if 0 < customers < FEWEST else f"{customers * scale:,.0f}"


def _row(curve: pd.DataFrame) -> pd.Series | None:
    """The row of the budget set, or that of the largest one where none is; None without money."""
    ours = curve[curve["configured"].astype(bool)] if len(curve) else curve
    rows = ours if len(ours) else curve
    return None if rows.empty else rows.iloc[-1]


def _cost(curve: pd.DataFrame, scale: float) -> str:
    row = _row(curve)
    return words.NONE if row is None else f"${scale * row['expected_cost_usd']:,.0f}"


def _net(curve: pd.DataFrame, scale: float) -> str:
    row = _row(curve)
    if row is None:
        return words.NONE
    middle = scale * row["expected_net_value_usd"]
    # The band of a total grows with the square root of the customers, not with their number.
    low, high = (middle + scale**0.5 * (row[end] - row["expected_net_value_usd"]) for end in _ENDS)
    return f"${middle:,.0f} ({low:,.0f} to {high:,.0f})"


_ENDS = ("low", "high")
