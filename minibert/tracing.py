"""Whether the numbers in a tensor can be looked at.

Some code decides by the numbers themselves: a check refuses a wrong id, a layout leaves out the padding that it finds.
While a graph is recorded (torch.compile, torch.export, torch.jit.trace), what is decided for the example would be
decided for all inputs, or cannot be decided at all. Such code asks here first, and takes the way that is right for
all inputs: no check, no packing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def recording() -> bool:
    """Whether this code runs so that a graph of it is recorded."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def exporting() -> bool:
    """Whether the graph is to be used without this code: for all sizes then, since none can be recorded later."""
    return torch.compiler.is_exporting()


def known(tensor: Tensor) -> bool:
    """Whether a tensor's numbers can decide what is done next: not while recording, nor for a tensor without numbers
    (on the meta device, or of a class that stands for one, as torch's fake tensors are)."""
    return not recording() and type(tensor) in (Tensor, nn.Parameter) and tensor.device.type != "meta"


def at_hand(tensor: Tensor) -> bool:
    """Whether they are also on the CPU, where looking at them does not have to wait for a device."""
    return tensor.device.type == "cpu" and known(tensor)
