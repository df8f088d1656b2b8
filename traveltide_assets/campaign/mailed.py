"""Who was sent a perk, by the releases that were mailed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from traveltide_assets.campaign import release_files
from traveltide_assets.campaign.invitations import written_to
from traveltide_assets.campaign.tables import MAILED
from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.experiment.assignment import CONTROL, HOLDOUT
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.periods import has_begun, runs_in_campaign
from traveltide_assets.lake.release import Damaged, Listed, Release, Releases

_OFFERED = ["user_id", "segment", "perk", "arm", "arm_probability", "offer", "probability"]
_ELIGIBLE = "eligible"


def sent_before(releases: Releases, experiment: Config, month: str) -> pd.DataFrame:
    """One row per customer who was sent a perk by the end of a month; see `gold/mailed_customers`.

    The decision of a month is mailed in the next one. A release counts if it is marked as mailed,
    or if it is the current one of a month from whose campaign the experiment reads outcomes.
    Customers who were held out, or are in the control arm, were not sent a perk of their own.
    `Damaged` if a release was mailed and cannot be read, since nobody can then say to whom.
    """
    found = [_recipients(release) for release in _mailed(releases, experiment, month)]
    if not found:
        return pd.DataFrame(columns=[*MAILED.column_names]).astype({"user_id": "int64"})
    return pd.concat(found).groupby("user_id", as_index=False)["decided_in"].min()


def _mailed(releases: Releases, experiment: Config, month: str) -> Iterator[Release]:
    for listed in releases.all():
        if listed.month < month and (listed.mailed or _of_experiment(listed, experiment, month)):
            if listed.release is None:
                raise _nobody_knows(listed)
            yield listed.release


@dataclass(frozen=True)
class Sent:
    """A campaign as it was released.

    `certain` says whether it is known that it was mailed: it is marked so, or the experiment reads
    it.
    """

    release: Release
    certain: bool

    def offers(self) -> pd.DataFrame:
        """What was offered: some columns of `gold/offers`, a row per customer.

        Releases of earlier versions do not say who was eligible for what: null.
        """
        found = self.release.frame(release_files.OFFERS)
        if _ELIGIBLE not in found:
            found[_ELIGIBLE] = None
        return found[[*_OFFERED, _ELIGIBLE]]

    def arms(self) -> pd.DataFrame | None:
        """The arms of its customers, if an experiment ran in it."""
        running = self.release.manifest.decision["experiment"]["running"]
        return self.release.frame(release_files.ARMS, ["user_id", "arm"]) if running else None


def campaigns(releases: Releases, experiment: Config, month: str) -> dict[str, Sent]:
    """The campaigns decided before a month, by month: of each the release that was mailed last.

    Where none is marked as mailed, it is the current one. One of an earlier version, which does not
    say what was offered, is left out. `Damaged` if one that was mailed for certain cannot be read.
    """
    chosen: dict[str, Listed] = {}
    for listed in releases.all():
        if listed.month < month and (listed.mailed or listed.current):
            known = chosen.get(listed.month)
            if known is None or (listed.mailed or "") >= (known.mailed or ""):
                chosen[listed.month] = listed
    found = {}
    for name, listed in sorted(chosen.items()):
        certain = bool(listed.mailed) or _of_experiment(listed, experiment, month)
        if listed.release is None:
            if certain:
                raise _nobody_knows(listed)
        elif release_files.OFFERS in listed.release.names:
            found[name] = Sent(listed.release, certain)
    return found


def _nobody_knows(listed: Listed) -> Damaged:
    return Damaged(
        f"release {listed.entry.id} of {listed.month} was mailed and is damaged, so nobody can say "
        "who was sent a perk: restore its files"
    )


def _of_experiment(listed: Listed, experiment: Config, month: str) -> bool:
    begun = has_begun(experiment, month)
    return begun and listed.current and runs_in_campaign(experiment, listed.month)


def _recipients(release: Release) -> pd.DataFrame:
    if release_files.OFFERS not in release.names:
        return _recipients_without_offers(release)
    offers = release.frame(release_files.OFFERS, ["user_id", "arm", "offer"])
    own = ~offers["arm"].isin([HOLDOUT, CONTROL]) & (offers["offer"] != NO_OFFER)
    return pd.DataFrame({"user_id": offers.loc[own, "user_id"], "decided_in": release.month})


def _recipients_without_offers(release: Release) -> pd.DataFrame:
    """The same of a release of an earlier version, which does not say what was offered."""
    written = written_to(release.frame(release_files.CAMPAIGN, ["user_id", "perk", "holdout"]))
    users = written["user_id"]
    if release.manifest.decision["experiment"]["running"]:
        arms = release.frame(release_files.ARMS, ["user_id", "arm"])
        users = users[~users.isin(arms.loc[arms["arm"] == CONTROL, "user_id"])]
    return pd.DataFrame({"user_id": users, "decided_in": release.month})
