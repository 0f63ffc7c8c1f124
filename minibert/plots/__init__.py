"""Figures: plain data in, a figure out. Nothing here knows a model or a claim."""

from minibert.plots.charts import *  # noqa: F403
