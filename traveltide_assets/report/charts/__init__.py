"""The one place that draws: every chart of the Dagster UI and of the report is a function here.

A function takes frames and returns a `Chart`; `png` renders it for the UI, `svg` for the report. No
numbers are worked out here beyond what a chart shows. Bars drawn as HTML tables are in `bars`.
"""

from traveltide_assets.report.charts.budgets import budget
from traveltide_assets.report.charts.campaigns import offer_effects, policy_values
from traveltide_assets.report.charts.canvas import Chart, png, svg
from traveltide_assets.report.charts.customers import perk_counts, seasons
from traveltide_assets.report.charts.experiments import differences, power, weekly_looks
from traveltide_assets.report.charts.newcomers import gains, learning, learning_by_model
from traveltide_assets.report.charts.segments import correlations, elbow, profile, scatter
from traveltide_assets.report.charts.simulations import loop
from traveltide_assets.report.charts.strategies import agreement, lifts

__all__ = [
    "Chart",
    "agreement",
    "budget",
    "correlations",
    "differences",
    "elbow",
    "gains",
    "learning",
    "learning_by_model",
    "lifts",
    "loop",
    "offer_effects",
    "perk_counts",
    "png",
    "policy_values",
    "power",
    "profile",
    "scatter",
    "seasons",
    "svg",
    "weekly_looks",
]
