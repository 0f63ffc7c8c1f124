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
    """Make a model known to `build`, `from_pretrained`, the counts and the command line.

    Raises ValueError if another family's students are of the same teacher, as then nobody knows which to make.
    """
    rivals = [one.model_type for one in FAMILIES.values() if one.student_of == family.student_of]
    if family.student_of is not None and [one for one in rivals if one != family.model_type]:
        raise ValueError(f"{family.model_type} and {rivals[0]} are both students of {family.student_of}: choose one.")
    FAMILIES[family.model_type] = family
    PRESETS.update(family.presets)


register(bert.FAMILY)
register(roberta.FAMILY)
register(distilbert.FAMILY)
register(albert.FAMILY)
register(mobilebert.FAMILY)
register(xlnet.FAMILY)
register(bart.FAMILY)
