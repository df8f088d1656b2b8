"""Is the new model good enough for service? It is judged on customers held out of training.

What counts is what these customers did after their n-th session (`newcomer_lifts.py`). The holdout
depends on the customer alone, so it has the same customers in every month. A model that has been in
service for long was not trained on them either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.prediction import early, newcomer_lifts
from traveltide_assets.prediction.config import Config
from traveltide_assets.prediction.models import MAJORITY, RULES
from traveltide_assets.prediction.newcomer_lifts import ALL
from traveltide_assets.prediction.predictor import Predictor
from traveltide_assets.prediction.tables import PROMOTION, PROMOTION_LIFTS
from traveltide_assets.stats.bucketing import draws
from traveltide_assets.transforms.features.config import Policy

IN_SERVICE = "model in service"
BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference"
_SALT = "prediction holdout"


def held_out(user_id: pd.Series, share: float) -> np.ndarray:
    """Whether each customer is held out of training, in every month."""
    users = user_id.unique()
    return user_id.isin(users[draws(users, _SALT) < share]).to_numpy()


def permitted(in_service: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """The model in service, as stored; empty if it uses a feature that is forbidden by now."""
    model = Predictor.from_frame(in_service)
    used = set() if model is None else {name.partition("=")[0] for name in model.inputs}
    return in_service if len(policy.allowed(used)) == len(used) else in_service.iloc[:0]


def decide(
    candidate: pd.DataFrame,
    in_service: pd.DataFrame,
    known: pd.DataFrame,
    later: pd.DataFrame,
    perks: Sequence[Perk],
    config: Config,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`compete` of the month's candidate with the model in service, both as stored.

    Empty if there is no candidate.
    """
    new = Predictor.from_frame(candidate)
    if new is None:
        return _nothing()
    old = Predictor.from_frame(in_service)
    return compete(new, old, known, later, perks, config, seed)


def compete(
    candidate: Predictor,
    in_service: Predictor | None,
    known: pd.DataFrame,
    later: pd.DataFrame,
    perks: Sequence[Perk],
    config: Config,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The decision, and the lifts that it rests on: rows of `PROMOTION` and `PROMOTION_LIFTS`.

    `known` are the month's labelled early features, `later` its early outcomes. Both tables are
    empty if nobody is held out. Better and worse mean that the 95 % interval of the difference in
    gain, from a bootstrap over customers, excludes 0. On average over every n, the candidate has to
    be better than one perk for everybody, and worse neither than the strategy's rules nor than the
    model in service. A candidate that foretells nothing is one perk for everybody: it goes into
    service if no model that foretells something is there, or if that one is worse. The rows of a
    single n are for information: one of six may look worse by chance.
    """
    held = known[held_out(known["user_id"], config.holdout)]
    held = held.merge(
        newcomer_lifts.whole(later), on=["user_id", early.SEEN], validate="one_to_one"
    )
    if held.empty:
        return _nothing()
    readable = in_service is not None and in_service.reads(held)
    answers = {candidate.kind: _of_model(candidate, held, perks)}
    if in_service is not None and readable:
        answers[IN_SERVICE] = _of_model(in_service, held, perks)
    answers |= newcomer_lifts.baselines(held, perks)
    did = newcomer_lifts.judged(held, perks)
    table, gains = newcomer_lifts.measure(answers, did, perks, config.resamples, seed)
    position = {name: place for place, name in enumerate(gains.names)}
    rows = []
    for n in (ALL, *sorted(n for n in gains.measured if n != ALL)):
        at = (did.sessions_seen == n) | (n == ALL)
        for rival in gains.names[1:]:
            mean, low, high = gains.apart(n, candidate.kind, rival)
            row = {
                "sessions_seen": n,
                "rival": rival,
                "customers": len(np.unique(did.user_id[at])),
                "gain_candidate": float(gains.measured[n][0]),
                "gain_rival": float(gains.measured[n][position[rival]]),
                "difference": mean,
                "difference_low": low,
                "difference_high": high,
                "verdict": BETTER if low > 0 else WORSE if high < 0 else NO_DIFFERENCE,
            }
            rows.append(row)
    decision = pd.DataFrame(rows)
    over_all = decision[decision["sessions_seen"] == ALL].set_index("rival")["verdict"].to_dict()
    told = in_service is not None and readable and bool(in_service.signal.any())
    if candidate.signal.any():
        promoted, because = _decide(over_all, in_service is not None and not readable)
    else:
        promoted, because = _decide_default(over_all, told)
    decision = decision.assign(
        candidate=candidate.version,
        in_service=None if in_service is None else in_service.version,
        promoted=promoted,
        because=because,
    )
    return decision[list(PROMOTION.column_names)], table


def beaten_by(decision: pd.DataFrame, rival: str) -> list[int]:
    """The numbers of sessions seen at which the candidate is worse than a rival."""
    worse = (decision["rival"] == rival) & (decision["verdict"] == WORSE)
    return sorted(decision.loc[worse & (decision["sessions_seen"] != ALL), "sessions_seen"])


def _decide(verdicts: dict[str, str], unreadable: bool) -> tuple[bool, str]:
    """Whether to promote, and why, from the verdict over every n against each rival."""
    if verdicts[MAJORITY] != BETTER:
        return False, "no better than one perk for everybody beyond noise"
    if verdicts[RULES] == WORSE:
        return False, "worse than the rules of the strategy beyond noise"
    if unreadable:
        return True, "the model in service asks for other features"
    if IN_SERVICE not in verdicts:
        return True, "better than one perk for everybody; the first"
    if verdicts[IN_SERVICE] == WORSE:
        return False, "worse than the model in service beyond noise"
    return True, "not worse than the model in service beyond noise"


def _decide_default(verdicts: dict[str, str], told: bool) -> tuple[bool, str]:
    """The same for a candidate that foretells nothing; `told`: the model in service does."""
    if told and verdicts[IN_SERVICE] != BETTER:
        return False, "foretells nothing, and the model in service is not worse than that"
    return True, "nothing foretells what newcomers do: one perk for everybody"


def _of_model(model: Predictor, held: pd.DataFrame, perks: Sequence[Perk]) -> np.ndarray:
    """The positions of the perks that a model gives; -1 for one that is not among `perks`."""
    names = pd.Index([perk.id for perk in perks]).get_indexer(list(model.perks))
    return names[model.given(early.inputs(held, model.inputs))]


def _nothing() -> tuple[pd.DataFrame, pd.DataFrame]:
    return (
        pd.DataFrame(columns=list(PROMOTION.column_names)),
        pd.DataFrame(columns=list(PROMOTION_LIFTS.column_names)),
    )
