"""Is the new model good enough for service? It is evaluated on customers held out of training.

The holdout depends on the customer alone, so it has the same customers in every month. A model that
has been in service for long was not trained on them either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.prediction import early, models
from traveltide_assets.prediction.config import Config
from traveltide_assets.prediction.models import MAJORITY, Examples
from traveltide_assets.prediction.predictor import Predictor
from traveltide_assets.prediction.tables import PROMOTION
from traveltide_assets.stats.bucketing import draws
from traveltide_assets.stats.threads import one_thread
from traveltide_assets.transforms.features.config import Policy

IN_SERVICE = "model in service"
ALL = 0
BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference"
_SALT = "prediction holdout"


@dataclass(frozen=True)
class _Answers:
    """Per row: the log loss and the position of the predicted perk (-1: not one of the month's)."""

    losses: np.ndarray
    perk: np.ndarray


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
    config: Config,
    seed: int,
) -> pd.DataFrame:
    """`compete` of the month's candidate with the model in service, both as stored.

    Empty if there is no candidate.
    """
    new = Predictor.from_frame(candidate)
    if new is None:
        return pd.DataFrame(columns=list(PROMOTION.column_names))
    old = Predictor.from_frame(in_service)
    return compete(new, old, known, config.holdout, config.resamples, seed)


def compete(
    candidate: Predictor,
    in_service: Predictor | None,
    known: pd.DataFrame,
    share: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """One row per rival and n, and per rival for all n together (`ALL`).

    `known` are the month's labelled early features. Empty if none of them is held out. Better and
    worse mean that the 95 % interval of the difference in log loss, from a bootstrap over
    customers, excludes 0. Over all n, the candidate has to be better than the most frequent perk
    and not worse than the model in service. The other rows are for information only: the rules
    could not serve instead, and one of five n may look worse by chance.
    """
    outside = held_out(known["user_id"], share)
    held = known[outside]
    if held.empty:
        return pd.DataFrame(columns=list(PROMOTION.column_names))
    perks = pd.Index(sorted(known["perk"].unique()))
    own = _of_model(candidate, held, perks)
    rivals = _baselines(known, outside, perks)
    readable = in_service is not None and in_service.reads(held)
    if in_service is not None and readable:
        rivals = {IN_SERVICE: _of_model(in_service, held, perks)} | rivals
    seen, label = held[early.SEEN].to_numpy(), perks.get_indexer(held["perk"])
    rows = []
    for n in (ALL, *np.unique(seen)):
        at = (seen == n) | (n == ALL)
        users = held.loc[at, "user_id"]
        apart = {name: own.losses[at] - other.losses[at] for name, other in rivals.items()}
        found = _paired(pd.DataFrame(apart), users, resamples, seed)
        f1 = models.macro_f1(label[at], own.perk[at], len(perks))
        for name, other in rivals.items():
            mean, low, high = found[name]
            row = {
                "sessions_seen": int(n),
                "rival": name,
                "customers": users.nunique(),
                "loss_candidate": own.losses[at].mean(),
                "loss_rival": other.losses[at].mean(),
                "f1_candidate": f1,
                "f1_rival": models.macro_f1(label[at], other.perk[at], len(perks)),
                "difference": mean,
                "difference_low": low,
                "difference_high": high,
                "verdict": BETTER if high < 0 else WORSE if low > 0 else NO_DIFFERENCE,
            }
            rows.append(row)
    table = pd.DataFrame(rows)
    over_all = table[table["sessions_seen"] == ALL].set_index("rival")["verdict"].to_dict()
    promoted, because = _decide(over_all, in_service is not None and not readable)
    return table.assign(
        candidate=candidate.version,
        in_service=None if in_service is None else in_service.version,
        promoted=promoted,
        because=because,
    )[list(PROMOTION.column_names)]


def beaten_by(decision: pd.DataFrame, rival: str) -> list[int]:
    """The numbers of sessions seen at which the candidate is worse than a rival."""
    worse = (decision["rival"] == rival) & (decision["verdict"] == WORSE)
    return sorted(decision.loc[worse & (decision["sessions_seen"] != ALL), "sessions_seen"])


def _decide(verdicts: dict[str, str], unreadable: bool) -> tuple[bool, str]:
    """Whether to promote, and why, from the verdict over all n against each rival."""
    if verdicts[MAJORITY] != BETTER:
        return False, "no better than the commonest perk beyond noise"
    if unreadable:
        return True, "the model in service asks for other features"
    if IN_SERVICE not in verdicts:
        return True, "better than the commonest perk; the first"
    if verdicts[IN_SERVICE] == WORSE:
        return False, "worse than the model in service beyond noise"
    return True, "not worse than the model in service beyond noise"


def _of_model(model: Predictor, held: pd.DataFrame, perks: pd.Index) -> _Answers:
    shares = model.probabilities(early.inputs(held, model.inputs))
    label = pd.Index(model.perks).get_indexer(held["perk"])
    # A perk that the model does not know has no probability. An extra column stands for it.
    losses = models.losses(label, np.column_stack([shares, np.zeros(len(shares))]))
    return _Answers(losses, perks.get_indexer(model.perks)[shares.argmax(axis=1)])


def _baselines(known: pd.DataFrame, outside: np.ndarray, perks: pd.Index) -> dict[str, _Answers]:
    """The answers of the rivals that need no model, from the customers used for training."""
    examples = Examples(
        user_id=known["user_id"].to_numpy(),
        sessions_seen=known[early.SEEN].to_numpy(),
        inputs=np.empty((len(known), 0)),
        label=perks.get_indexer(known["perk"]),
        ruled=perks.get_indexer(known["ruled"]),
        names=(),
        perks=tuple(perks),
    )
    held = examples.of(outside)
    found = models.baselines(examples.of(~outside), held, 0, np.arange(len(held)))
    return {f.kind: _Answers(models.losses(held.label, f.probabilities), f.answer) for f in found}


def _paired(differences: pd.DataFrame, users: pd.Series, resamples: int, seed: int) -> pd.DataFrame:
    """Per column: the mean over customers, and its 95 % interval by bootstrap over customers."""
    each = differences.groupby(users.to_numpy()).mean()
    size = len(each)
    drawn = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), resamples)
    with one_thread():
        means = drawn @ each.to_numpy() / size
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return pd.DataFrame([each.mean().to_numpy(), low, high], columns=each.columns)
