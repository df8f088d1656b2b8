"""The names of the files in a release. `released.py` says what is in them."""

from __future__ import annotations

ASSIGNMENTS = "perk_assignments.parquet"
SEGMENTS = "segments.parquet"
FEATURES = "user_features.parquet"
CATALOGUE = "perk_catalogue.parquet"
PREDICTOR = "perk_predictor.parquet"
CAMPAIGN = "campaign.parquet"
CHANGES = "campaign_changes.parquet"
ARMS = "experiment_assignment.parquet"
EVIDENCE = "perk_evidence.parquet"
DECISION = "strategy_decision.parquet"
PLAN = "experiment_plan.parquet"
READOUT = "experiment_readout.parquet"
REPORT = "report.html"
EXPLORER = "explorer.html"
FACTS = "campaign.json"
