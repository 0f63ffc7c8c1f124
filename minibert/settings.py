"""What a checkpoint's config.json says: each setting is honoured, or refused if another value would change the numbers.

A setting belongs to one of four kinds. *Used*: it is a field of the family's config. *Fixed*: only one value is
supported (`Family.constants`, and FIXED for all families); any other is refused. *Without effect*: it changes no number
that a model computes (EFFECTLESS, and `Family.effectless`). All others are unknown. The ecosystem's readers ignore
those, and so does this one, but with a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from minibert.config import ModelConfig
from minibert.errors import MinibertError
from minibert.files import read_json
from minibert.models import FAMILIES
from minibert.models.family import Family

# Settings that any family's config may have, with the only value that is supported here; null says nothing.
FIXED: dict[str, Any] = {
    "add_cross_attention": False,
    "auto_map": None,  # code that comes with the checkpoint and replaces the model
    "is_decoder": False,
    "is_encoder_decoder": False,
    "per_layer_config": {},
    "position_embedding_type": "absolute",
    "pruned_heads": {},
    "quantization_config": None,
    "tie_encoder_decoder": False,
}

# What changes no number.
EFFECTLESS = frozenset(
    (
        # where it comes from
        *("architectures", "model_type", "transformers_version", "name_or_path", "tokenizer_class"),
        *("finetuning_task", "language", "task_specific_params", "vocab_file", "prefix"),
        # memory and speed
        *("torch_dtype", "dtype", "use_bfloat16", "use_cache", "torchscript", "chunk_size_feed_forward"),
        *("gradient_checkpointing", "attn_implementation", "experts_implementation", "tf_legacy_loss"),
        # what is returned
        *("return_dict", "use_return_dict", "output_attentions", "output_hidden_states", "output_past"),
        *("output_scores", "return_dict_in_generate"),
        # read elsewhere in this package
        *("id2label", "label2id", "num_labels", "problem_type", "tie_word_embeddings"),
        # special tokens, where the family's config has no field for them
        *("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "decoder_start_token_id"),
        *("forced_bos_token_id", "forced_eos_token_id", "force_bos_token_to_be_generated"),
        # how texts are written: asked of `generate` here
        *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups"),
        *("diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty"),
        *("length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"),
        *("num_return_sequences", "remove_invalid_values", "exponential_decay_length_penalty"),
        *("suppress_tokens", "begin_suppress_tokens"),
        # what no model of the family has ever read
        *("directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
        *("pooler_size_per_head", "pooler_type", "cross_attention_hidden_size"),
    )
)

OUTPUT_IS_TIED = "tie_word_embeddings"


def read_settings(folder: Path) -> tuple[Path, dict[str, Any], Family]:
    """A folder's config.json, what it says, and the family that it names. Raises MinibertError if it cannot be read."""
    path = folder / "config.json"
    if not path.exists():
        raise MinibertError(f"{folder} has no config.json: give a checkpoint folder that has one.")
    raw = read_json(path)
    model_type = raw.get("model_type")
    if model_type is None:
        raise MinibertError(
            f'{path} does not say which model it describes: it must have an entry such as "model_type": "bert".'
        )
    if model_type not in tuple(FAMILIES):
        raise MinibertError(f"{path} has the model_type {model_type!r}; this package reads {', '.join(FAMILIES)}.")
    return path, raw, FAMILIES[model_type]


def read_config(folder: Path) -> ModelConfig:
    """The config of a checkpoint folder, with a warning that names settings that are unknown here.

    Raises MinibertError if it cannot be read, or has a setting or a value that is not supported.
    """
    path, raw, family = read_settings(folder)
    raw = _with_aliases(path, raw, family)
    for name, value in {**FIXED, **family.constants}.items():
        found = raw.get(name, value)
        if name == "auto_map" and found:  # a tokenizer of its own does not concern the model
            found = {kind: code for kind, code in dict(found).items() if str(kind).startswith("AutoModel")}
        if found != value and (found or value):  # of values that all say nothing, such as null and false, any will do
            raise MinibertError(f"{path} sets {name} to {found!r}; this package supports only {value!r}.")
    settings: dict[str, Any] = {}
    known = {*FIXED, *EFFECTLESS, *family.constants, *family.effectless, *family.aliases}
    for name in (f.name for f in fields(family.config) if f.name != "labels"):
        theirs = family.field_names.get(name, name)
        known.add(theirs or "")
        if theirs in raw:
            settings[name] = raw[theirs]
        elif name in family.absent:
            settings[name] = family.absent[name]
    settings |= _for_writing(folder, raw, family)
    labels = _labels(path, raw, family)
    if labels is not None:
        settings["labels"] = labels
    try:
        config = family.config(**settings)
    except MinibertError as problem:
        raise MinibertError(f"{path} cannot be used: {problem}") from None
    for name, value in family.derived(config).items():
        if raw.get(name, value) not in (value, None):
            raise MinibertError(f"{path} sets {name} to {raw[name]!r}, but its other settings make it {value!r}.")
        known.add(name)
    unknown = sorted(name for name in raw if name not in known and name[:1] != "_" and says_something(raw[name]))
    if unknown:
        warnings.warn(
            f"{path} has settings that are not known here and have no effect: {', '.join(unknown[:8])}"
            f"{' ...' if len(unknown) > 8 else ''}.",
            stacklevel=2,
        )
    return config


def says_something(value: Any) -> bool:
    """Whether a setting with this value asks for anything: null, false and what is empty do not."""
    return value not in (None, False, "", [], {})


def _with_aliases(path: Path, raw: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """The settings under one name each, where a family's have two."""
    found = dict(raw)
    for alias, name in family.aliases.items():
        if found.get(alias) is None:
            continue
        if found.setdefault(name, found[alias]) != found[alias]:
            raise MinibertError(
                f"{path} sets {name} to {found[name]!r} and {alias} to {found[alias]!r}, but the two are one setting: "
                "remove the wrong one."
            )
    return found


def _for_writing(folder: Path, raw: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Special tokens for writing that config.json leaves to generation_config.json, in a family that has them."""
    wanted = {f.name for f in fields(family.config) if f.name.startswith(("forced_", "decoder_start_"))}
    path = folder / "generation_config.json"
    content = read_json(path) if wanted and path.exists() else {}
    if raw.get("force_bos_token_to_be_generated"):  # the old name
        content = {"forced_bos_token_id": raw.get("bos_token_id", 0), **content}
    return {name: content[name] for name in wanted if raw.get(name) is None and content.get(name) is not None}


def _labels(path: Path, raw: Mapping[str, Any], family: Family) -> tuple[str, ...] | None:
    """The names of the classes, from id2label, else label2id, else num_labels; None where the config says nothing.

    Raises MinibertError where they are no numbering, or contradict each other.
    """
    number = next((raw[name] for name in ("num_labels", "_num_labels") if raw.get(name) is not None), None)
    if number is not None and (type(number) is not int or number < 1):
        raise MinibertError(f"{path} sets num_labels to {number!r}; it must be an integer, at least 1.")
    named = raw.get("id2label")
    if named is None and raw.get("label2id"):
        try:
            named = {number: name for name, number in raw["label2id"].items()}
        except (TypeError, AttributeError):
            named = "no map"
    if named is None:
        return family.absent.get("labels") if number is None else tuple(f"LABEL_{i}" for i in range(number))
    try:
        labels = {int(i): label for i, label in named.items()}
        if [*sorted(labels)] != [*range(len(named))] or not all(isinstance(x, (str, int)) for x in labels.values()):
            raise ValueError
    except (TypeError, ValueError, AttributeError):
        raise MinibertError(
            f"{path}: id2label must map each class number, from 0 on, to its name, as in "
            '{"0": "negative", "1": "positive"}.'
        ) from None
    if number is not None and number != len(labels) and labels:
        raise MinibertError(
            f"{path} sets num_labels to {number}, but id2label names {len(labels)} classes: correct the wrong one."
        )
    return tuple(str(labels[i]) for i in range(len(labels)))
