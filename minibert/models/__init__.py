"""The family: each model's file describes its model with a `Family`, and is registered here by one line."""

from __future__ import annotations

from minibert.config import ModelConfig
from minibert.models import albert, bart, bert, distilbert, mobilebert, roberta, xlnet
from minibert.models.family import Family

# model_type, as in a checkpoint's config.json -> everything that belongs to that model
FAMILIES: dict[str, Family] = {}
# the name of a published size (or of a tiny one for lessons) -> its config
PRESETS: dict[str, ModelConfig] = {}


def register(family: Family) -> None:
    """Make a model known to `build`, `from_pretrained`, the counts and the command line."""
    FAMILIES[family.model_type] = family
    PRESETS.update(family.presets)


register(bert.FAMILY)
register(roberta.FAMILY)
register(distilbert.FAMILY)
register(albert.FAMILY)
register(mobilebert.FAMILY)
register(xlnet.FAMILY)
register(bart.FAMILY)
