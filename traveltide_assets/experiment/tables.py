"""Contracts of the experiment: assignment, plan, readout, and outcomes of campaigns."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

ASSIGNMENT = Table(
    "gold",
    "experiment_assignment",
    "One row per customer in the experiment, or who would be in it if one were started.",
    (
        Column("user_id", "int64", "The customer"),
        Column("segment", "string", "Name of the segment"),
        Column("perk", "string", "The customer's personalised perk"),
        Column("arm", "string", "Arm: personalised or control"),
        Column("offer", "string", "Offer in this arm: the perk or the control offer"),
    ),
    key=("user_id",),
    partitioned=True,
)
_METRIC_AND_SEGMENT = (
    Column("metric", "string", "Metric, one number per customer"),
    Column("segment", "string", "Name of the segment, or all customers"),
    Column("kind", "string", "mean (of a count) or rate (of yes or no)"),
    Column("role", "string", "goal, or guardrail, which must not get worse"),
)
_ARM_SIZES = (
    Column("customers_personalised", "int64", "Customers in the personalised arm"),
    Column("customers_control", "int64", "Customers in the control arm"),
)
PLAN = Table(
    "gold",
    "experiment_plan",
    "One row per metric and segment: the power analysis of an experiment with these customers.",
    (
        *_METRIC_AND_SEGMENT,
        *_ARM_SIZES,
        Column("baseline_from", "string", "Origin of the baseline: sessions or assumed"),
        Column("baseline_weeks", "float64", "Weeks that the baseline spans", required=False),
        Column("baseline_mean", "float64", "Mean per customer in these weeks", required=False),
        Column("baseline_sd", "float64", "Standard deviation in these weeks", required=False),
        Column("alpha", "float64", "Level of the test, corrected for several goals and segments"),
        Column("effect", "float64", "Minimum effect worth detecting (difference)", required=False),
        Column("power", "float64", "Power to detect it", required=False),
        Column(
            "mean_after",
            "float64",
            "Mean of an earlier cohort's customers in as many weeks after it",
            required=False,
        ),
        Column(
            "power_after", "float64", "Power to detect the effect with that mean", required=False
        ),
        Column(
            "detectable_effect",
            "float64",
            "Smallest difference detected with the required power",
            required=False,
        ),
        Column("detectable_relative", "float64", "The same, relative to the mean", required=False),
        Column("customers_needed", "float64", "Customers needed to detect it", required=False),
        Column(
            "weeks_needed",
            "float64",
            "Weeks needed to detect it with these customers; null if longer than the history",
            required=False,
        ),
        Column(
            "power_with_looks", "float64", "Power if it is looked at every week", required=False
        ),
        Column(
            "expected_weeks",
            "float64",
            "Expected week of the end if it is looked at every week and the effect is there",
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
    "One row per metric and segment of a started experiment. Empty if none was started.",
    (
        *_METRIC_AND_SEGMENT,
        Column("test", "string", "Test: Welch t-test, chi-squared or Fisher exact", required=False),
        *_ARM_SIZES,
        Column("personalised", "float64", "Mean or rate in the personalised arm", required=False),
        Column("control", "float64", "Mean or rate in the control arm", required=False),
        Column("difference", "float64", "Personalised minus control", required=False),
        Column("low", "float64", "Lower end of the 95 % interval", required=False),
        Column("high", "float64", "Upper end of the 95 % interval", required=False),
        Column("p_value", "float64", "P-value of the test", required=False),
        Column(
            "cuped_difference",
            "float64",
            "Difference adjusted for behaviour before the start (CUPED)",
            required=False,
        ),
        Column("cuped_low", "float64", "Lower end of its 95 % interval", required=False),
        Column("cuped_high", "float64", "Upper end of its 95 % interval", required=False),
        Column("cuped_p_value", "float64", "P-value of the adjusted test", required=False),
        Column(
            "variance_reduction",
            "float64",
            "Share of variance removed by the adjustment",
            required=False,
        ),
        Column(
            "p_look",
            "float64",
            "Deciding p-value (the adjusted one, if any), corrected for the looks taken",
            required=False,
        ),
        Column(
            "p_holm", "float64", "p_look, Holm-corrected over metrics and segments", required=False
        ),
        Column(
            "p_margin",
            "float64",
            "P-value of a guardrail's harm beyond the margin, corrected for looks and rows",
            required=False,
        ),
        Column(
            "look_bound",
            "float64",
            "Standard errors that a single difference must reach at this look",
        ),
        Column(
            "conditional_power",
            "float64",
            "Chance that a goal still reaches its bound, if the effect is the one planned",
            required=False,
        ),
        Column(
            "mismatch_p_value", "float64", "P-value of outcomes missing unevenly between the arms"
        ),
        Column("verdict", "string", "Verdict, such as better, worse, no difference shown, harm"),
        Column("in_words", "string", "The verdict in plain words"),
        Column("read_until", "timestamp(6)", "End of the outcomes read, exclusive"),
        Column("peek", "boolean", "Whether it was read before the planned end"),
    ),
    key=("metric", "segment"),
    partitioned=True,
)
LOOKS = Table(
    "gold",
    "experiment_looks",
    "One row per week and metric of a started experiment, over all customers: what that look "
    "shows, and what the rule says after it. Empty if none was started.",
    (
        Column("week", "int64", "Weeks since the start"),
        *(_METRIC_AND_SEGMENT[0], _METRIC_AND_SEGMENT[3]),
        *_ARM_SIZES,
        Column("personalised", "float64", "Mean or rate in the personalised arm", required=False),
        Column("control", "float64", "Mean or rate in the control arm", required=False),
        Column("difference", "float64", "Difference that decides (CUPED, if any)", required=False),
        Column("low", "float64", "Lower end of its 95 % interval", required=False),
        Column("high", "float64", "Upper end of its 95 % interval", required=False),
        Column("p_look", "float64", "P-value, corrected for the looks taken", required=False),
        Column(
            "p_holm", "float64", "p_look, Holm-corrected over metrics and segments", required=False
        ),
        Column("look_bound", "float64", "Standard errors that a difference must reach here"),
        Column(
            "conditional_power",
            "float64",
            "Chance that a goal still reaches its bound, if the effect is the one planned",
            required=False,
        ),
        Column("verdict", "string", "Verdict of this look"),
        Column("in_words", "string", "The verdict in plain words"),
        Column("decision", "string", "The rule after it: stop and ship, stop and drop, or go on"),
        Column("stopped_in", "int64", "Week whose look stopped the experiment", required=False),
    ),
    key=("week", "metric"),
    partitioned=True,
)
CAMPAIGN_OUTCOMES = Table(
    "gold",
    "campaign_outcomes",
    "One row per customer of a campaign that was open or closed in the month: what they did over "
    "its horizon. A campaign is in no month after that in which it was closed.",
    (
        Column("campaign", "string", "Month whose decision was mailed"),
        Column("user_id", "int64", "The customer"),
        Column("segment", "string", "Name of the segment, then"),
        Column(
            "arm",
            "string",
            "Arm: personalised, control, exploration or holdout; neither: outside the experiment",
        ),
        Column("arm_probability", "float64", "Probability with which the arm was drawn"),
        Column("offer", "string", "The offer; of the held-out, the one they did not get"),
        Column("probability", "float64", "Probability with which it was drawn in the arm"),
        Column(
            "eligible",
            "array<string>",
            "Perks that they could be offered; null where that is not known",
            required=False,
        ),
        Column("clicks", "int64", "Clicks on the offer"),
        Column("sign_ups", "int64", "Sign-ups for the offer"),
        Column("redemptions", "int64", "Redemptions of the offer"),
        Column("unsubscribed", "int64", "Unsubscriptions after the offer"),
        Column("bookings", "int64", "Bookings"),
        Column("sessions", "int64", "Browsing sessions"),
        Column("cancellations", "int64", "Cancellations"),
        Column("completed_trips", "int64", "Trips booked and completed within the horizon"),
        Column(
            "retained", "boolean", "Came back in the second half of the horizon", required=False
        ),
        Column("revenue_usd", "float64", "Price of trips booked and not cancelled, USD"),
        Column("revenue_capped_usd", "float64", "The same, cut off at `experiment.revenue_cap`"),
        Column(
            "cost_usd",
            "float64",
            "Cost of the offer by what was redeemed or used, USD; null where that is not known",
            required=False,
        ),
        Column(
            "net_margin_usd",
            "float64",
            "Margin of the capped revenue less cost, USD; null without `economics.margin_rate`",
            required=False,
        ),
        Column("bookings_before", "int64", "Bookings in as many days before the mailing"),
        Column("sessions_before", "int64", "Browsing sessions in these days"),
        Column("revenue_before_usd", "float64", "Revenue in these days, capped, USD"),
        Column("starts_at", "timestamp(6)", "Start of the horizon"),
        Column("ends_at", "timestamp(6)", "End of the horizon, exclusive"),
        Column("read_until", "timestamp(6)", "End of what is known of it, exclusive"),
        Column("closed", "boolean", "Whether the whole horizon is known"),
    ),
    key=("campaign", "user_id"),
    partitioned=True,
)
CAMPAIGN_READOUT = Table(
    "gold",
    "campaign_readout",
    "One row per campaign open or closed in the month, comparison, metric and segment: what the "
    "offers did.",
    (
        Column("campaign", "string", "Month whose decision was mailed"),
        Column(
            "comparison",
            "string",
            "invited against held out, personalised against control, or a perk that was drawn "
            "against none or against another",
        ),
        Column("metric", "string", "Metric, one number per customer"),
        Column("segment", "string", "Name of the segment, or all customers"),
        Column("kind", "string", "mean, rate (of yes or no) or ratio (of two sums)"),
        Column("role", "string", "goal, or guardrail, which must not get worse"),
        Column("customers_one", "int64", "Customers in the first group of the comparison"),
        Column("customers_other", "int64", "Customers in the second"),
        Column("one", "float64", "Adjusted mean, rate or ratio of the first group", required=False),
        Column("other", "float64", "The same of the second", required=False),
        Column("difference", "float64", "First minus second", required=False),
        Column("error", "float64", "Standard error of the difference", required=False),
        Column("low", "float64", "Lower end of the 95 % interval", required=False),
        Column("high", "float64", "Upper end of the 95 % interval", required=False),
        Column("relative", "float64", "Difference, relative to the second group", required=False),
        Column("relative_low", "float64", "Lower end of its 95 % interval", required=False),
        Column("relative_high", "float64", "Upper end of its 95 % interval", required=False),
        Column(
            "variance_reduction",
            "float64",
            "Share of variance removed by the adjustment",
            required=False,
        ),
        Column("p_value", "float64", "P-value of the difference", required=False),
        Column("p_look", "float64", "The same, corrected for the looks taken", required=False),
        Column("p_holm", "float64", "p_look, Holm-corrected in its comparison", required=False),
        Column(
            "p_margin",
            "float64",
            "P-value of a guardrail's harm beyond the margin, corrected for looks and rows",
            required=False,
        ),
        Column("look_bound", "float64", "Standard errors that a difference must reach here"),
        Column(
            "mismatch_p_value",
            "float64",
            "P-value of groups that are not as large as they were drawn",
        ),
        Column("verdict", "string", "Verdict, such as better, worse, no difference shown, harm"),
        Column("in_words", "string", "The verdict in plain words"),
        Column("read_until", "timestamp(6)", "End of the outcomes read, exclusive"),
        Column("peek", "boolean", "Whether the horizon was not over"),
    ),
    key=("campaign", "comparison", "metric", "segment"),
    partitioned=True,
)
POLICY_SCORECARD = Table(
    "gold",
    "policy_scorecard",
    "One row per way of choosing offers: what it would bring per customer, from those whose offer "
    "was drawn. Empty without exploration.",
    (
        Column("policy", "string", "always none, always a perk, a strategy, incumbent or learned"),
        Column("reward", "string", "What counts: margin less cost, or revenue"),
        Column("value", "float64", "Reward per customer over the horizon, USD"),
        Column("gain", "float64", "The same, more than with nothing sent"),
        Column("standard_error", "float64", "Standard error of the value"),
        Column("low", "float64", "Lower end of its interval; all hold at once in 95 %"),
        Column("high", "float64", "Upper end of its interval"),
        Column("effective_sample_size", "float64", "Customers whose offer says as much"),
        Column("customers", "int64", "Customers in the log, each once per campaign"),
        Column("verdict", "string", "On the learned policy: promoted, nothing to gain, too little"),
        Column("in_words", "string", "The verdict in plain words"),
        Column(
            "rows_needed",
            "float64",
            "Customers that would show the gain estimated; null if it is within its error",
            required=False,
        ),
    ),
    key=("policy",),
    partitioned=True,
)
LEARNED_POLICY = Table(
    "gold",
    "learned_policy",
    "One row per perk and feature of the learned policy in service at the end of the month, which "
    'decides later months with `strategy = "learned"`. Empty while none has been promoted.',
    (
        Column("perk", "string", "The perk"),
        Column("feature", "string", "Name of the feature"),
        Column("mean", "float64", "Its mean over the customers learned from"),
        Column("spread", "float64", "Its standard deviation over them"),
        Column(
            "points",
            "float64",
            "How much more is expected of the perk if the feature is higher by one spread, USD",
        ),
        Column("base", "float64", "Expected of the perk over no offer at the mean of all, USD"),
        Column("usual", "float64", "Reward per customer without an offer, USD"),
        Column("reward", "string", "What counts: margin less cost, or revenue"),
        Column("customers", "int64", "Customers learned from"),
        Column("learned_in", "string", "Month whose scorecard promoted it"),
        Column("policy_version", "string", "Hash of the policy"),
    ),
    key=("perk", "feature"),
    partitioned=True,
)
TABLES = (
    ASSIGNMENT,
    PLAN,
    READOUT,
    LOOKS,
    CAMPAIGN_OUTCOMES,
    CAMPAIGN_READOUT,
    POLICY_SCORECARD,
    LEARNED_POLICY,
)
