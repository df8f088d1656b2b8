"""The data behind the answers: an immutable snapshot of a release, and the scorer of its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from traveltide_assets.campaign.invitations import written_to
from traveltide_assets.campaign.release_files import (
    ASSIGNMENTS,
    CAMPAIGN,
    CATALOGUE,
    OFFERS,
    PREDICTOR,
    SEGMENTS,
)
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.ownership import GENERATED
from traveltide_assets.lake.release import NotReleased, Release
from traveltide_assets.prediction.behaviour_model import EACH_N
from traveltide_assets.prediction.early import EARLY, SEEN
from traveltide_assets.prediction.early import inputs as inputs_of
from traveltide_assets.prediction.predictor import Predictor, reason, speaking
from traveltide_assets.serving.histories import HistoryFeatures, Plans
from traveltide_assets.serving.messages import ByFeatures, ByHistory

_DECIDED = "gold/perk_assignments"
_FEATURES = [feature.name for feature in EARLY]
State = tuple[tuple[str, str, str], ...]


class NotUsable(Exception):
    """The model in the lake cannot be served. The message gives the reason."""


@dataclass(frozen=True)
class Assigned:
    """The customers with a perk: their sorted ids, and one row of `answers` for each."""

    user_id: np.ndarray
    answers: pd.DataFrame

    def find(self, user_id: int) -> dict[str, Any] | None:
        """The answer for a customer. None if they have no perk."""
        place = int(np.searchsorted(self.user_id, user_id))
        if place == len(self.user_id) or self.user_id[place] != user_id:
            return None
        row = self.answers.iloc[place]
        offer, arm = (None if pd.isna(row[name]) else row[name] for name in ("offer", "arm"))
        return row.to_dict() | {
            "score": float(row["score"]),
            "source": "assigned",
            "offer": offer,
            "arm": arm,
        }


class Scorer:
    """Answers from one promoted model and the catalogue that goes with it."""

    def __init__(self, predictor: Predictor, catalogue: pd.DataFrame, plans: Plans) -> None:
        self.predictor = predictor
        self._catalogue = catalogue
        self._plans = plans
        self._titles = dict(zip(catalogue["perk"], catalogue["title"], strict=True))
        named = {*predictor.perks, *predictor.history_perks}
        if unknown := sorted(named - set(self._titles)):
            raise NotUsable(f"the model predicts perks that are not in the catalogue: {unknown}")
        self._try()
        # Plain numbers, one row per number of sessions: for a single customer NumPy is slower.
        model = predictor.behaviour
        self._average, self._spread = model.average.tolist(), model.spread.tolist()
        self._signal = predictor.signal.tolist()
        places = range(len(predictor.perks))
        self._terms = [[speaking(predictor, n, perk) for perk in places] for n in EACH_N]
        split = [name.partition("=") for name in predictor.inputs]
        self._values = itemgetter(*(feature for feature, _, _ in split))
        # Before any session, what counts sessions and trips is known to be 0.
        counted = {f.name for f in EARLY if f.source != "users" and not f.nullable}
        self._counts = [i for i, (name, _, _) in enumerate(split) if name in counted]
        # Inputs that are 1 if a feature equals a text: their position, and the text.
        self._texts = [(i, text) for i, (_, found, text) in enumerate(split) if found]

    def _try(self) -> None:
        """Raise `NotUsable` if the graphs do not answer as the schema of the model says."""
        nobody = np.zeros((1, len(self.predictor.inputs)), np.float32)
        answers = (
            (self.predictor.deviations(nobody), self.predictor.perks),
            (self.predictor.history_shares(nobody), self.predictor.history_perks),
        )
        for found, perks in answers:
            if found.shape != (1, len(perks)) or not np.isfinite(found).all():
                raise NotUsable(
                    f"the model gives answers of shape {found.shape} for {len(perks)} perks"
                )

    def to_parts(self) -> list[bytes]:
        """The scorer as bytes: model and catalogue as Arrow, plans as JSON."""
        columns = ["perk", "title", "features", "weights"]
        frames = (self.predictor.to_frame(), self._catalogue[columns])
        return [*map(_as_bytes, frames), self._plans.to_json()]

    @classmethod
    def from_parts(cls, parts: Sequence[bytes]) -> Scorer:
        """The scorer that `to_parts` wrote."""
        predictor, catalogue = (pa.ipc.open_stream(part).read_pandas() for part in parts[:2])
        found = Predictor.from_frame(predictor)
        if found is None:
            raise NotUsable("there is no model")
        return cls(found, catalogue, Plans.from_json(parts[2]))

    @cached_property
    def _histories(self) -> HistoryFeatures:
        return HistoryFeatures(self._plans)

    def score_one(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """The answer for one customer, from features by name. None means unknown."""
        values = list(self._values(features))
        for place, text in self._texts:
            values[place] = values[place] == text
        if features["total_sessions"] == 0:
            for place in self._counts:
                values[place] = values[place] or 0
        row = np.array([values], dtype=np.float32)
        deviations = self.predictor.deviations(row)[0].tolist()
        shares = self.predictor.history_shares(row)[0].tolist()
        return self._answer(features["total_sessions"], values, deviations, shares)

    def score_many(self, customers: Sequence[ByFeatures | ByHistory]) -> list[dict[str, Any]]:
        """The answers for several customers, in the same order. Not thread-safe.

        Raises `RejectedRow` if cleaning rejects a raw row.
        """
        features = pd.DataFrame(index=range(len(customers)), columns=[*_FEATURES, SEEN])
        given = {i: vars(c.features) for i, c in enumerate(customers) if isinstance(c, ByFeatures)}
        raw = {i: c.history for i, c in enumerate(customers) if isinstance(c, ByHistory)}
        if given:
            frame = pd.DataFrame(list(given.values()), index=list(given), columns=_FEATURES)
            features.loc[frame.index, _FEATURES] = frame
            features.loc[frame.index, SEEN] = frame["total_sessions"]
        if raw:
            found = self._histories.of(raw)
            features.loc[found.index] = found[features.columns]
        inputs = inputs_of(features, self.predictor.inputs)
        seen = features[SEEN].astype("int64").tolist()
        before = np.ix_(np.flatnonzero(np.equal(seen, 0)), np.asarray(self._counts, np.intp))
        inputs[before] = np.nan_to_num(inputs[before])
        deviations = self.predictor.deviations(inputs).tolist()
        shares = self.predictor.history_shares(inputs).tolist()
        return [
            self._answer(*each)
            for each in zip(seen, inputs.tolist(), deviations, shares, strict=True)
        ]

    def _answer(
        self,
        seen: int,
        values: Sequence[float | None],
        deviations: Sequence[float],
        shares: Sequence[float],
    ) -> dict[str, Any]:
        perks, signal = self.predictor.perks, self._signal[seen]
        usual, spread = self._average[seen], self._spread[seen]
        # Perks without a signal come last. If there is no signal at all, the first perk is given.
        order = sorted(range(len(perks)), key=lambda k: (not signal[k], -deviations[k]))
        best = order[0]
        expected = [
            max(mean + unit * far, 0.0)
            for mean, unit, far in zip(usual, spread, deviations, strict=True)
        ]
        likeliest = max(range(len(shares)), key=shares.__getitem__)
        return {
            "perk": perks[best],
            "title": self._titles[perks[best]],
            "runner_up": perks[order[1]],
            "score": expected[best] / usual[best] if usual[best] > 0 else 1.0,
            "reason": reason(seen, values, self._terms[seen][best]),
            "model_version": self.predictor.version,
            "as_of_month": self.predictor.month,
            "source": "predicted",
            "expected": dict(zip(perks, expected, strict=True)),
            "history_perk": self.predictor.history_perks[likeliest],
            "history_probability": min(max(shares[likeliest], 0.0), 1.0),
        }


def _as_bytes(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    target = pa.BufferOutputStream()
    with pa.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
    return target.getvalue().to_pybytes()


@dataclass(frozen=True)
class Snapshot:
    """The assigned perks, the catalogue and the scorer of the promoted model, of one release.

    `notice` is a line that says so if the customers are generated.
    """

    assigned: Assigned
    catalogue: dict[str, Any]
    scorer: Scorer | None
    state: State
    notice: str | None


def look(lake: Lake) -> State:
    """The latest month with a current release, and its id. Equal if nothing changed."""
    release = _current(lake)
    return () if release is None else (("release", release.month, release.id),)


def load(lake: Lake, histories: Callable[[str], Plans]) -> Snapshot | None:
    """Everything that the service needs from the current release. None if nothing is released.

    `histories` gives the plans for raw rows as of a month. Raises `NotUsable` if the files of
    the release do not match each other, or if months were decided and none was released, and
    `Damaged` if a file is not as it was released.
    """
    release = _current(lake)
    if release is None:
        if lake.months(_DECIDED):
            raise NotUsable("no month has been released: run `traveltide release`")
        return None
    stored = release.frame(PREDICTOR)
    predictor = Predictor.from_frame(stored)
    if predictor is not None and predictor.version != stored["model_version"].iloc[0]:
        raise NotUsable(f"{release.uri(PREDICTOR)} does not match its model_version")
    catalogue = release.frame(CATALOGUE).sort_values("position")
    shown = catalogue[["perk", "title", "audience", "headline"]].to_dict("records")
    return Snapshot(
        assigned=_assigned(release, catalogue),
        catalogue={"perks": shown},
        scorer=None
        if predictor is None
        else Scorer(predictor, catalogue, histories(predictor.month)),
        state=(("release", release.month, release.id),),
        # Whoever asks need not learn where the data lies.
        notice=GENERATED if release.manifest.notice else None,
    )


def _current(lake: Lake) -> Release | None:
    try:
        return lake.releases.current()
    except NotReleased:
        return None


def _assigned(release: Release, catalogue: pd.DataFrame) -> Assigned:
    given = release.frame(ASSIGNMENTS)
    scores = release.frame(SEGMENTS, ["user_id", "score"])
    merged = given.merge(scores, on="user_id", validate="one_to_one").sort_values("user_id")
    if len(merged) != len(given):
        raise NotUsable(f"{len(given) - len(merged)} customers of {release.uri()} have no segment")
    # Customers who are held out, suppressed or in the control arm must not see the perk in the app.
    written = written_to(release.frame(CAMPAIGN))
    offers = dict(zip(written["user_id"], written["perk"], strict=True))
    arms: dict[int, str] = {}
    if OFFERS in release.names:  # Releases of earlier versions have none.
        drawn = release.frame(OFFERS, ["user_id", "arm"])
        arms = dict(zip(drawn["user_id"], drawn["arm"], strict=True))
    titles = catalogue.set_index("perk")["title"]
    answers = pd.DataFrame(
        {
            "perk": merged["perk"],
            "title": merged["perk"].map(titles).fillna(merged["perk"]),
            "runner_up": merged["runner_up"],
            "score": merged["score"],
            "reason": merged["deciding_features"],
            "model_version": merged["model_version"],
            "as_of_month": merged["as_of_month"],
            "offer": merged["user_id"].map(offers).astype("string"),
            "arm": merged["user_id"].map(arms).astype("string"),
        }
    )
    texts = answers.columns.drop("score")
    answers[texts] = answers[texts].astype("category")
    return Assigned(merged["user_id"].to_numpy(), answers)
