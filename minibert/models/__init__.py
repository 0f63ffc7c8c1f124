"""The family: which config makes which model, and the published sizes."""

from __future__ import annotations

from minibert.encoder import Backbone, EncoderConfig
from minibert.models import albert, bert, distilbert

# model_type, as a checkpoint's config.json says it -> (config, model)
MODELS: dict[str, tuple[type[EncoderConfig], type[Backbone]]] = {
    "bert": (bert.BertConfig, bert.Bert),
    "distilbert": (distilbert.DistilBertConfig, distilbert.DistilBert),
    "albert": (albert.AlbertConfig, albert.Albert),
}

PRESETS: dict[str, EncoderConfig] = {**bert.PRESETS, **distilbert.PRESETS, **albert.PRESETS}
