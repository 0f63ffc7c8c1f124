"""Configs: the limits of a field stand in its metadata, and a subclass that changes a default keeps them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest
from tiny import expect_refusal

from minibert.config import ACTIVATION_NAMES, EncoderConfig, ModelConfig, choice, fraction, integer, limits_of
from minibert.layers import ACTIVATIONS
from minibert.models import FAMILIES


@dataclass(frozen=True, kw_only=True)
class Odd(ModelConfig):
    hidden_size: int = 24  # another default, in one word
    num_groups: int = integer(3, least=2)
    rate: float | None = fraction(None, optional=True)
    mode: str = choice("slow", ("slow", "fast"))

    model_type = "odd"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": 0}, ("hidden_size is 0", "an integer, at least 1")),
        ({"hidden_size": True}, ("hidden_size is True", "an integer")),
        ({"num_groups": 1}, ("num_groups is 1", "at least 2")),
        ({"num_groups": "3"}, ("num_groups is '3'", "an integer")),
        ({"rate": 1.5}, ("rate is 1.5", "from 0 to 1")),
        ({"rate": True}, ("rate is True", "from 0 to 1")),
        ({"rate": float("nan")}, ("rate is nan", "from 0 to 1")),
        ({"mode": "medium"}, ("mode is 'medium'", "known: slow, fast")),
        ({"mode": None}, ("mode is None", "known")),
        ({"hidden_act": "swoosh"}, ("hidden_act is 'swoosh'", "known: gelu")),
        ({"problem_type": "guess"}, ("problem_type is 'guess'", "known: regression")),
        ({"labels": ("a", 1)}, ("labels is", "must name the classes")),
        ({"initializer_range": -0.1}, ("initializer_range is -0.1", "from 0 to 1")),
    ],
    ids=str,
)
def test_a_value_outside_its_fields_limits_is_refused(change, said):
    with expect_refusal(*said):
        Odd(**change)


def test_values_within_the_limits_are_taken():
    config = Odd(num_groups=2, rate=0.0, mode="fast", classifier_dropout=None, pad_token_id=0)
    assert replace(config, rate=None) == Odd(num_groups=2, mode="fast")


def test_every_field_of_every_family_has_its_limits():
    """A new field without limits would be checked by nobody."""
    for family in FAMILIES.values():
        unchecked = {f.name for f in fields(family.config) if not limits_of(family.config, f.name)}
        assert unchecked == {"labels"}, family.model_type


def test_every_activation_that_a_config_may_name_exists():
    assert set(ACTIVATIONS) == set(ACTIVATION_NAMES)


def test_the_heads_must_divide_the_width():
    with expect_refusal("hidden_size 10 cannot be divided into 3 heads"):
        EncoderConfig(hidden_size=10, num_attention_heads=3)
