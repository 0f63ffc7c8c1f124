"""What the rest of the package needs to know about a family of models. Each model's file ends with its `Family`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minibert.config import ModelConfig
from minibert.model import Model

NUMBER = r"(?<=\.)\d+(?=\.|$)"  # the number of a layer inside a dotted name


@dataclass(frozen=True)
class Family:
    """A model, its sizes, and how its checkpoints are written.

    config, model: the classes. presets: the published sizes, name -> config.

    keys: our name -> the name in a checkpoint. A row names a module, whose ``weight`` and ``bias`` follow, or a whole
    parameter or buffer; ``{}`` stands for the number of a layer. stem: the start of the class names under
    "architectures". prefix: what the names of the model's own tensors begin with; files of a model without a head
    leave it out. head_keys: head -> rows that replace those of `keys` for it, where two heads give a part of ours
    different names. class_names: head -> the class name under "architectures", where it is not the stem and the
    head's own ending.
    copies: tensors that some files hold a second time, the copy -> the original; a copy must equal its original where
    it is used: by the head that scores the vocabulary, or, if it is one of body_copies, by the model itself.
    fills: tensors that some files lack, our name -> the number that they are then filled with. unused: the ends of the
    names of tensors that old files hold and no model needs.
    field_names: our config field -> theirs, where the names differ; None where their config has no such field.
    aliases: a second name that their config has for a setting -> the first.
    constants: settings that their config may contain, with the only value that is supported here.
    derived: from a config, settings that theirs may contain and that follow from the others: name -> value.
    effectless: settings that their config may contain and that change no number (see settings.py).
    absent: our config field -> what it means that their config leaves it out, where that is not our default.
    objective, vocabulary: what a fresh model is pre-trained on, and which kind of vocabulary it reads; names of
    training.choices. student_of: the family (its model_type) whose models can be teachers of this one, as students
    start from their layers; None if no paper makes such students.
    """

    config: type[ModelConfig]
    model: type[Model]
    presets: Mapping[str, ModelConfig]
    keys: Mapping[str, str]
    stem: str
    prefix: str
    head_keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    class_names: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    body_copies: tuple[str, ...] = ()
    fills: Mapping[str, float] = field(default_factory=dict)
    unused: tuple[str, ...] = ("position_ids",)
    field_names: Mapping[str, str | None] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    derived: Callable[[Any], Mapping[str, Any]] = lambda config: {}
    effectless: tuple[str, ...] = ()
    absent: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "mlm"
    vocabulary: str = "wordpiece"
    student_of: str | None = None

    @property
    def model_type(self) -> str:
        """The family's name, as in a checkpoint's config.json."""
        return self.config.model_type

    @property
    def blocks(self) -> tuple[str, ...]:
        """What the names of all tensors inside a block begin with: "bert.encoder.layer."."""
        return tuple({row.partition("{}")[0] for row in self.keys.values() if "{}" in row})

    def rows(self, head: str | None = None) -> dict[str, str]:
        """The key table of a model with this head (a key of heads.HEADS)."""
        return {**self.keys, **self.head_keys.get(head or "", {})}

    def theirs(self, ours: str, head: str | None = None) -> str:
        """Our tensor's name -> the checkpoint's: encoder.blocks.3.norm.bias -> bert.encoder.layer.3.output..."""
        rows = self.rows(head)
        numbers = re.findall(NUMBER, ours)
        whole = re.sub(NUMBER, "{}", ours)
        if whole in rows:
            return rows[whole].format(*numbers)
        module, _, leaf = whole.rpartition(".")
        return f"{rows[module].format(*numbers)}.{leaf}"

    def ours(self, theirs: str, head: str | None = None) -> str | None:
        """The checkpoint's tensor name -> ours; None for a name that a model with this head does not have."""
        module, _, leaf = theirs.rpartition(".")
        for our_row, their_row in self.rows(head).items():
            pattern = re.escape(their_row).replace(r"\{\}", f"({NUMBER})")
            if match := re.fullmatch(pattern, theirs):
                return our_row.format(*match.groups())
            if leaf in ("weight", "bias") and (match := re.fullmatch(pattern, module)):
                return f"{our_row.format(*match.groups())}.{leaf}"
        return None

    def knows(self, theirs: str) -> bool:
        """Whether some model of the family, with any head, has a tensor of that name."""
        return any(self.ours(theirs, head) is not None for head in (None, *self.head_keys))
