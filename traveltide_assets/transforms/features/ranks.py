"""Where customers stand in their cohort, without a step that has all of them in one place.

A rank by a window function would sort everybody in one task. But a score has five values, so four
bounds say who has which. To find them, customers are counted by the whole part of their value. Only
customers of the few such buckets in which a score begins are ranked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis

from traveltide_assets.transforms.features.expressions import LEAST, MOST, SCORES

if TYPE_CHECKING:
    import ibis.expr.types as ir

COHORT = "cohort"
_BOUNDED = range(2, SCORES + 1)


def extremes(customers: ibis.Table, value: ir.NumericValue) -> ibis.Table:
    """The least and the greatest value of each cohort."""
    return customers.aggregate(by=_cohort(customers), **{LEAST: value.min(), MOST: value.max()})


def beside(customers: ibis.Table, found: ibis.Table) -> ibis.Table:
    """The customers with what is found of their cohort, or of all of them."""
    if by := _cohort(found):
        return customers.left_join(found, by).drop(f"{COHORT}_right")
    return customers.cross_join(found)


def score(customers: ibis.Table, name: str, value: ir.NumericValue) -> ir.IntegerValue:
    """From 1 to 5 by percentile rank in the cohort, of customers with the `bounds` of this name.

    Equal values get equal scores. A customer without a value gets 1.
    """
    reached = [(value >= customers[_bound(name, least)]).fill_null(False) for least in _BOUNDED]
    return sum((each.cast("int64") for each in reached), start=ibis.literal(1, "int64"))


def bounds(customers: ibis.Table, name: str, value: ir.NumericValue) -> ibis.Table:
    """The bound of each score but 1, by cohort: what reaches it has this score, or a greater one.

    A bound is null if nothing reaches it.
    """
    by = _cohort(customers)
    values = customers.select(*by, value=value).filter(ibis._.value.notnull())
    values = values.mutate(bucket=values.value.floor())
    whole = values.value == values.bucket
    buckets = _placed(values.group_by(*by, "bucket").agg(whole=whole.sum(), rest=(~whole).sum()))
    first = _score(buckets.below, buckets.others)
    last = _score(buckets.below + buckets.whole + buckets.rest - 1, buckets.others)
    # Whole values are the least of their bucket. They may be many, such as those who spent nothing.
    parts = values.filter(~whole).inner_join(buckets.filter(first != last), [*by, "bucket"])
    place = ibis.rank().over(ibis.window(group_by=[*by, "bucket"], order_by="value"))
    parts = parts.mutate(place=place)
    below = parts.below + parts.whole + parts.place
    known = ibis.union(
        buckets.select(*by, value=buckets.bucket.cast(values.value.type()), score=first),
        parts.select(*by, "value", score=_score(below, parts.others)),
    )
    found = {_bound(name, least): known.value.min(where=known.score >= least) for least in _BOUNDED}
    return known.aggregate(by=by, **found)


def _placed(buckets: ibis.Table) -> ibis.Table:
    """The buckets with how many values are `below` each, and how many `others` a value has."""
    by = _cohort(buckets)
    rows = buckets.whole + buckets.rest
    in_order = ibis.window(group_by=by, order_by="bucket", preceding=None, following=0)
    return buckets.mutate(
        below=rows.sum().over(in_order) - rows,
        others=rows.sum().over(ibis.window(group_by=by)) - 1,
    )


def _score(below: ir.IntegerValue, others: ir.IntegerValue) -> ir.IntegerValue:
    """The score of whoever has a greater value than `below` of the `others` in the cohort."""
    rank = (below / others.nullif(0)).fill_null(0)
    return ibis.least((rank * SCORES).floor().cast("int64") + 1, SCORES)


def _cohort(table: ibis.Table) -> list[str]:
    """What divides customers who are not compared with each other."""
    return [COHORT] if COHORT in table.columns else []


def _bound(name: str, least: int) -> str:
    return f"{name} from {least}"
