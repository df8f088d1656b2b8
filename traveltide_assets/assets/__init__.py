"""The assets: each calls a pure function, describes the result and returns it."""

import warnings

import dagster as dg

# Backfill policies are in beta; a test pins what is relied on.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
