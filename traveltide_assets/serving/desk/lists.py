"""Lists of selected customers that may leave the house, as CSV and Excel.

A list holds the id and what was decided, no trait and no behaviour. It holds nobody who must not be
contacted, and nobody who is held out unless the selection asks for them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from io import BytesIO

import pandas as pd
import xlsxwriter

from traveltide_assets.campaign import mailing
from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.report.dimensions import HELD_OUT, NO_ARM, WRITTEN_TO
from traveltide_assets.report.disclosure import FEWEST
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.serving.desk.decision import Decision
from traveltide_assets.serving.desk.selection import Selection

COLUMNS = {
    "user_id": "The customer",
    "segment": "Name of the segment",
    "perk": "The perk that suits the customer",
    "perk_title": "What the perk is called",
    "offer": "The perk that is offered: in an experiment it may be another",
    "headline": "Headline of the mail",
    "arm": "Arm of the experiment, or the one it would be if none runs; none outside of it",
    "contact": "Whether the customer is written to or held out",
    "change": "Offer compared with last month: unchanged, new, moved or dropped",
    "offer_before": "Last month's offer, if it was another",
    "why_changed": "Why the offer is another than last month's",
    "month": "The decided month",
    "release": "The release that the list is made of",
}
"""The columns of a list, with what they hold."""
_WIDTHS = {
    "user_id": 11,
    "segment": 34,
    "perk": 28,
    "perk_title": 28,
    "offer": 28,
    "headline": 44,
    "offer_before": 28,
    "why_changed": 60,
}
# A workbook tells when it was made; the same list must give the same bytes.
_MADE = dt.datetime(2000, 1, 1)
_MOST_ROWS = 1_048_575


class TooFew(TravelTideError):
    """The selection is of so few customers that it would single them out."""


class TooMany(TravelTideError):
    """An Excel sheet has fewer rows than the list."""


@dataclass(frozen=True)
class Listing:
    """The customers of a selection: how many they are, and the ids of those who may be listed."""

    decision: Decision
    selected: int
    users: pd.Index

    @property
    def rows(self) -> pd.DataFrame:
        """One row per customer who may be listed, by `user_id`: the columns of `COLUMNS`."""
        decision, people = self.decision, self.decision.people.loc[self.users]
        offers = decision.campaign.loc[self.users]
        changes = decision.changes[["perk_before", "reason"]].reindex(self.users).astype(object)
        titles = {perk: decision.title(perk) for perk in people["perk"].unique()}
        rows = pd.DataFrame(
            {
                "user_id": self.users,
                "segment": people["segment"].to_numpy(),
                "perk": people["perk"].to_numpy(),
                "perk_title": people["perk"].map(titles).to_numpy(),
                "offer": offers["perk"].to_numpy(),
                "headline": offers["headline"].to_numpy(),
                "arm": people["arm"].to_numpy(),
                "contact": people["contact"].to_numpy(),
                "change": people["change"].to_numpy(),
                "offer_before": changes["perk_before"].fillna("").to_numpy(),
                "why_changed": changes["reason"].fillna("").to_numpy(),
                "month": decision.month,
                "release": decision.release.id,
            }
        )
        return rows[list(COLUMNS)]


def listed(decision: Decision, selection: Selection, suppressed: Suppressed) -> Listing:
    """The list of a selection, by `user_id`; `suppressed` must not be contacted as of today.

    Raises `TooFew` for fewer than ten customers.
    """
    mask = selection.mask(decision)
    selected = int(mask.sum())
    if selected < FEWEST:
        raise TooFew(
            f"fewer than {FEWEST} customers meet these conditions, so they are not listed: "
            "choose wider ones"
        )
    people = decision.people
    wanted = [WRITTEN_TO] if not selection.groups("contact") else [WRITTEN_TO, HELD_OUT]
    mask &= people["contact"].isin(wanted).to_numpy() & ~people.index.isin(suppressed.users)
    return Listing(decision, selected, people.index[mask].sort_values())


def as_csv(rows: pd.DataFrame) -> bytes:
    """The list as CSV, UTF-8, one line per customer. No cell is taken for a formula."""
    return mailing.to_csv(rows)


def as_excel(rows: pd.DataFrame) -> bytes:
    """The list as an Excel workbook of one sheet. Every text is a text, never a formula."""
    if len(rows) > _MOST_ROWS:
        raise TooMany(f"an Excel sheet has at most {_MOST_ROWS:,} rows: take CSV")
    buffer = BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    book.set_properties({"created": _MADE})
    sheet, bold = book.add_worksheet("customers"), book.add_format({"bold": True})
    for place, name in enumerate(rows.columns):
        sheet.set_column(place, place, _WIDTHS.get(name, 14))
        sheet.write_string(0, place, name, bold)
        write = sheet.write_number if name == "user_id" else sheet.write_string
        for line, value in enumerate(rows[name], 1):
            write(line, place, value)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(rows), len(rows.columns) - 1)
    book.close()
    return buffer.getvalue()


FORMATS = {
    "csv": (as_csv, "text/csv; charset=utf-8"),
    "xlsx": (as_excel, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}
"""How a list is written, and its media type, by the ending of its file."""


def ready_made(decision: Decision) -> list[tuple[str, Selection]]:
    """Lists that are often asked for, each with its selection."""
    families = ("single with children", "married with children")
    found = [
        ("Everybody who is written to", Selection()),
        ("Families: customers with children", Selection.of(("family", f) for f in families)),
        ("Everybody whose perk changed", Selection.of([("change", "moved")])),
        ("Everybody who is new this month", Selection.of([("change", "new")])),
        ("Everybody who is held out", Selection.of([("contact", HELD_OUT)])),
    ]
    for key, says in (("perk", "Perk"), ("segment", "Segment"), ("arm", "Arm of the experiment")):
        found += [
            (f"{says}: {decision.says(key, group)}", Selection.of([(key, group)]))
            for group in decision.groups(key)
            if group != NO_ARM
        ]
    return [(name, selection) for name, selection in found if _has_groups(decision, selection)]


def _has_groups(decision: Decision, selection: Selection) -> bool:
    """Whether the groups of a selection are those of some customer."""
    return all(
        any(group in decision.groups(key) for group in groups)
        for key, groups in selection.conditions
    )
