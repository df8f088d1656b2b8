"""Contracts of the experiment: the arms, the plan and the readout."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

ASSIGNMENT = Table(
    "gold",
    "experiment_assignment",
    "One row per customer who takes part in the experiment, or would if one were started.",
    (
        Column("user_id", "int64", "The customer"),
        Column("segment", "string", "Name of the segment"),
        Column("perk", "string", "The customer's personalised perk"),
        Column("arm", "string", "personalised or control"),
        Column("offer", "string", "What the arm offers: the perk, or the control offer"),
    ),
    key=("user_id",),
    partitioned=True,
)
_METRIC_AND_SEGMENT = (
    Column("metric", "string", "What is measured per customer"),
    Column("segment", "string", "Name of the segment, or all customers"),
    Column("kind", "string", "mean (a count) or rate (did they or not)"),
    Column("role", "string", "goal, or guardrail: what must not suffer"),
)
_ARM_SIZES = (
    Column("customers_personalised", "int64", "Customers in the personalised arm"),
    Column("customers_control", "int64", "Customers in the control arm"),
)
PLAN = Table(
    "gold",
    "experiment_plan",
    "One row per metric and segment: what an experiment with these customers can find out.",
    (
        *_METRIC_AND_SEGMENT,
        *_ARM_SIZES,
        Column("baseline_from", "string", "sessions, or assumed"),
        Column("baseline_weeks", "float64", "Weeks that the baseline spans", required=False),
        Column("baseline_mean", "float64", "Mean per customer in these weeks", required=False),
        Column("baseline_sd", "float64", "Its standard deviation", required=False),
        Column("alpha", "float64", "Level of the test, corrected for several goals and segments"),
        Column("effect", "float64", "The effect worth finding, as a difference", required=False),
        Column("power", "float64", "Chance to find it", required=False),
        Column(
            "mean_after",
            "float64",
            "Mean that customers of an earlier cohort had in as many weeks after it",
            required=False,
        ),
        Column("power_after", "float64", "Chance to find it with that mean", required=False),
        Column(
            "detectable_effect",
            "float64",
            "Smallest difference found with the power asked for",
            required=False,
        ),
        Column("detectable_relative", "float64", "The same, relative to the mean", required=False),
        Column("customers_needed", "float64", "Customers to find the effect", required=False),
        Column(
            "weeks_needed",
            "float64",
            "Weeks with these customers to find the effect; null: not within the history",
            required=False,
        ),
        Column("verdict", "string", "enough, too few customers or no baseline"),
    ),
    key=("metric", "segment"),
    partitioned=True,
)
READOUT = Table(
    "gold",
    "experiment_readout",
    "One row per metric and segment of a started experiment; empty if none was started.",
    (
        *_METRIC_AND_SEGMENT,
        Column("test", "string", "Welch t-test, chi-squared or Fisher exact", required=False),
        *_ARM_SIZES,
        Column("personalised", "float64", "Mean or rate with the perk", required=False),
        Column("control", "float64", "Mean or rate with the control offer", required=False),
        Column("difference", "float64", "Personalised less control", required=False),
        Column("low", "float64", "Lower end of the 95 % interval", required=False),
        Column("high", "float64", "Upper end of the 95 % interval", required=False),
        Column("p_value", "float64", "Of the test", required=False),
        Column("cuped_difference", "float64", "Adjusted for what was before", required=False),
        Column("cuped_low", "float64", "Lower end of its 95 % interval", required=False),
        Column("cuped_high", "float64", "Upper end of its 95 % interval", required=False),
        Column("cuped_p_value", "float64", "Of the adjusted test", required=False),
        Column("variance_reduction", "float64", "Share of variance explained", required=False),
        Column(
            "p_holm",
            "float64",
            "Deciding p-value (adjusted if there is one), corrected over metrics and segments",
            required=False,
        ),
        Column("mismatch_p_value", "float64", "That outcomes are missing unevenly by chance"),
        Column("verdict", "string", "better, worse, no difference shown, harm and so forth"),
        Column("in_words", "string", "The verdict in plain words"),
        Column("read_until", "timestamp(6)", "First instant that was not read"),
        Column("peek", "boolean", "Read before the planned end"),
    ),
    key=("metric", "segment"),
    partitioned=True,
)
TABLES = (ASSIGNMENT, PLAN, READOUT)
