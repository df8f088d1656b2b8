"""The registry of contracts: every table of the lake by its path.

No contract is declared here. Each one lies beside the code that produces the table, in the
`tables.py` of its package. A contract determines the storage schema, the Columns tab and column
descriptions in the UI, and the blocking checks.
"""

from __future__ import annotations

from collections.abc import Mapping

from traveltide_assets.campaign import tables as campaign
from traveltide_assets.catalogue import tables as catalogue
from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.evidence import tables as evidence
from traveltide_assets.experiment import tables as experiment
from traveltide_assets.prediction import tables as prediction
from traveltide_assets.report import tables as report
from traveltide_assets.schema.table import Table
from traveltide_assets.segmentation import tables as segmentation
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.sources import tables as sources
from traveltide_assets.transforms import tables as transforms


def build_tables(perks: tuple[Perk, ...], strategies: Mapping[str, Strategy]) -> dict[str, Table]:
    """Every contract by its path in the lake, given the perks of a catalogue and the strategies."""
    tables = (
        *sources.TABLES,
        *transforms.TABLES,
        *segmentation.TABLES,
        *(segmentation.segments(name, made.extra_columns) for name, made in strategies.items()),
        segmentation.decided_segments(perk.id for perk in perks),
        segmentation.perk_assignments(perk.id for perk in perks),
        *evidence.TABLES,
        *prediction.TABLES,
        *catalogue.TABLES,
        *campaign.TABLES,
        campaign.offers(perk.id for perk in perks),
        *experiment.TABLES,
        *report.TABLES,
    )
    return {table.path: table for table in tables}
