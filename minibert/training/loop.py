"""The training loop: AdamW, warm-up and linear decay, clipping, and checkpoints from which a killed run continues.

Everything random in a step depends only on (seed, step): the order of the texts, the masks, the dropout. So a run that
was stopped, at any moment, continues exactly as if it had not been stopped, and two processes that share a batch draw
the same masks as one process would.

Source of the recipe: Devlin et al. 2019, appendix A.2; Loshchilov & Hutter 2019 for the decoupled weight decay.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.nn.utils import parametrize
from tqdm import tqdm

from minibert.errors import MinibertError, check_seed
from minibert.files import write_file
from minibert.signs import Bar
from minibert.words import counted, listed

Batch = dict[str, Tensor]  # tensors whose first axis is B


class Objective(Protocol):
    """What is learned: a weighted sum of terms, each the mean over something (masked words, tokens, texts)."""

    weights: dict[str, float]

    def batch(self, examples: Sequence[int], seed: int) -> Batch:
        """The examples with these numbers as one padded batch; everything random in it depends on the seed."""

    def counts(self, batch: Batch) -> dict[str, int]:
        """For each term, the number of things in this batch over which it is the mean."""

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Each term, a scalar: the mean over this batch."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train. The defaults suit fine-tuning (Devlin et al. 2019, appendix A.3)."""

    steps: int
    batch_size: int = 32  # texts per step, in all processes together
    accumulation: int = 1  # micro-batches per step in each process (gradient accumulation), to save memory
    learning_rate: float = 5e-5  # at the peak
    warmup: float = 0.1  # as a share of the steps
    weight_decay: float = 0.01  # of matrices; biases and norms have none
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6
    clip: float = 1.0  # the largest norm that the gradient may have
    seed: int = 0
    save_every: int = 200  # steps
    validate_every: int = 0  # steps; 0: only at the end
    bf16: bool | None = None  # whether forward passes run in bfloat16; None: on a GPU that supports it

    def __post_init__(self) -> None:
        check_seed(self.seed)
        at_least = {"steps": 1, "batch_size": 1, "accumulation": 1, "save_every": 1, "validate_every": 0}
        for name, least in at_least.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool):
                raise MinibertError(f"{name} is {value!r}; it must be an integer.")
            if value < least:
                raise MinibertError(f"{name} is {value}; it must be at least {least}.")
        if not 0 < self.learning_rate < math.inf:
            raise MinibertError(f"learning_rate is {self.learning_rate}; it must be a number above 0.")
        if not self.clip > 0:
            raise MinibertError(f"clip is {self.clip}; it must be a number above 0.")
        if not 0 <= self.warmup <= 1:
            raise MinibertError(f"warmup is {self.warmup}; it is a share of the steps, from 0 to 1.")
        if not 0 <= self.weight_decay < math.inf:
            raise MinibertError(f"weight_decay is {self.weight_decay}; it must be a number, at least 0.")


def rate_at(step: int, settings: Settings) -> float:
    """The learning rate of a step (counted from 0): linearly up during the warm-up, then linearly down to 0."""
    warm = round(settings.warmup * settings.steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * (settings.steps - step) / max(settings.steps - warm, 1)


def make_optimiser(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW with weight decay on the matrices only, not on vectors (biases, norms)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.eps, fused=True)


# --------------------------------------------------------------------------------------- order of the texts


def mixed(*numbers: int) -> int:
    """One seed from several numbers; different numbers give unrelated seeds."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1  # torch: below 2^63


def batches_of_epoch(lengths: Sequence[int], batch_size: int, seed: int, pool: int = 50) -> list[list[int]]:
    """The batches of one pass over the data: shuffled, but with texts of similar length in the same batch.

    lengths: of the texts, in tokens. The shuffled texts are taken `pool` batches at a time, sorted by length and cut
    into batches; then the batches are shuffled. A remainder smaller than a batch is left out; it is a different one in
    each epoch. Returns the numbers of the texts, batch by batch.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    order = order[: len(order) // batch_size * batch_size or len(order)]
    batches = []
    for start in range(0, len(order), pool * batch_size):
        similar = sorted(order[start : start + pool * batch_size], key=lambda text: lengths[text])
        batches += [similar[i : i + batch_size] for i in range(0, len(similar), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def batches_from(lengths: Sequence[int], settings: Settings, step: int) -> Iterator[list[int]]:
    """The batches from this step on, epoch after epoch, without end."""
    per_epoch = len(batches_of_epoch(lengths, settings.batch_size, mixed(settings.seed, 0)))
    epoch, place = divmod(step, per_epoch)
    while True:
        yield from batches_of_epoch(lengths, settings.batch_size, mixed(settings.seed, epoch))[place:]
        epoch, place = epoch + 1, 0


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch split into parts along B; if it does not divide evenly, the first parts have one text more."""
    split_tensors = {name: tensor.tensor_split(parts) for name, tensor in batch.items()}
    return [{name: tensors[part] for name, tensors in split_tensors.items()} for part in range(parts)]


# --------------------------------------------------------------------------------------------- processes


class Processes:
    """The processes that train together, as `torchrun` starts them; without torchrun there is one."""

    def __init__(self, device: torch.device):
        self.count = int(os.environ.get("WORLD_SIZE", 1))
        self.rank = int(os.environ.get("RANK", 0))
        self.device = device
        if self.count > 1 and not distributed.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @staticmethod
    def is_first() -> bool:
        """Whether this process is the one that prints and writes."""
        return int(os.environ.get("RANK", 0)) == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model, with gradients averaged over the processes in the backward pass."""
        return nn.parallel.DistributedDataParallel(model) if self.count > 1 else model

    def total(self, values: list[float]) -> list[float]:
        """The sum of each number over the processes."""
        if self.count == 1:
            return values
        together = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(together)
        return together.tolist()

    def from_first(self, find: Callable[[], Any]) -> Any:
        """The result of `find` in the first process, or its MinibertError; the others wait and get the same."""
        found: list[Any] = [None]
        if self.is_first():
            try:
                found = [find()]
            except MinibertError as problem:
                found = [problem]
        if self.count > 1:
            distributed.broadcast_object_list(found)
        if isinstance(found[0], MinibertError):
            raise found[0]
        return found[0]


def pick_device(name: str | None = None) -> torch.device:
    """The device with that name, by default a GPU if there is one. Raises MinibertError for an unknown device."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        if torch.ones(1, device=device).item() == 1:  # the device "meta" has no numbers
            return device
    except (RuntimeError, AssertionError, NotImplementedError):
        pass
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    raise MinibertError(f"there is no device {name!r} here: choose {listed(['cpu', *gpus], 'or')}.")


def has_bf16(device: torch.device | str) -> bool:
    """Whether the device has instructions for bfloat16, which make training about twice as fast, on a CPU too."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("bf16"))


# -------------------------------------------------------------------------------------------------- train


def train(
    model: nn.Module,
    objective: Objective,
    lengths: Sequence[int],
    settings: Settings,
    folder: str | Path,
    *,
    device: torch.device | str = "cpu",
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    title: str = "train",
) -> list[dict[str, Any]]:
    """Train `model` in place and return the log, one record per step.

    lengths: of the texts, in tokens, one for each of the objective's examples. folder: gets training.pt, from which
    a stopped run with the same settings continues, and log.jsonl. validate: called with the model in evaluation mode;
    what it returns is logged. The forward pass runs in bfloat16 if the settings say so, by default on a GPU that
    supports it.

    Raises MinibertError when there is nothing to train on or nothing that may learn, when the folder holds a run with
    other settings or of another model, when the folder cannot be written to, or when the loss or its gradient is not
    finite.
    """
    if len(lengths) < 1:
        raise MinibertError("there is no text to train on: give at least one.")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise MinibertError(
            "all parameters of the model are frozen, so that nothing can be learned: call requires_grad_(True) on the "
            "parts that are to learn."
        )
    device = torch.device(device)
    processes = Processes(device)
    texts, parts = min(settings.batch_size, len(lengths)), processes.count * settings.accumulation
    if texts < parts:
        raise MinibertError(
            f"a batch of {counted(texts, 'text')} cannot be split into {parts} micro-batches (processes x accumulation)"
            ": lower the accumulation, or give larger batches or more texts."
        )
    folder = Path(folder)
    model.to(device).train()
    optimiser = make_optimiser(model, settings)
    start, log = resume(folder, model, optimiser, settings) if (folder / STATE).exists() else (0, [])
    wrapped = processes.wrap(model)
    bf16 = device.type == "cuda" and has_bf16(device) if settings.bf16 is None else settings.bf16
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)
    order = batches_from(lengths, settings, start)
    bar = Bar(title, "step", settings.steps, start, hidden=not processes.is_first(), leave=True)
    with bar, interrupt_between_steps() as interrupted:
        for step in range(start, settings.steps):
            began = time.perf_counter()
            for group in optimiser.param_groups:
                group["lr"] = rate_at(step, settings)
            batch = objective.batch(next(order), mixed(settings.seed, 1, step))
            record = {"step": step + 1, "lr": rate_at(step, settings)}
            with autocast:
                record |= one_step(wrapped, objective, batch, settings, processes, step)
            norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.clip))
            for what, value in (("loss", record["loss"]), ("gradient norm", norm)):
                if not math.isfinite(value):
                    raise MinibertError(
                        f"the {what} of step {step + 1} is {value}: usually the learning rate "
                        f"({settings.learning_rate:g}) is too high; start again with a lower one. "
                        f"The last save in {folder} is unchanged."
                    )
            optimiser.step()
            optimiser.zero_grad()
            last = step + 1 == settings.steps
            due = last or (settings.validate_every and (step + 1) % settings.validate_every == 0)
            if validate is not None and due:  # in every process; otherwise the others would wait for the first
                record |= validated(model, validate)
            record["seconds"] = time.perf_counter() - began
            record["tokens"] = int(batch["attention_mask"].sum())
            log.append(record)
            speed = record["tokens"] / record["seconds"]
            bar.show(step + 1, note=f"loss {record['loss']:.3f}, {speed:,.0f} tokens/s")
            stop = processes.total([float(interrupted())])[0] > 0  # all processes stop after the same step
            if processes.is_first() and (last or stop or (step + 1) % settings.save_every == 0):
                save(folder, model, optimiser, settings, step + 1, log)
            if stop:
                if processes.is_first():
                    tqdm.write(f"saved after step {step + 1}: the same command continues from there.", file=sys.stderr)
                raise KeyboardInterrupt
    model.eval()
    return log


@contextmanager
def interrupt_between_steps() -> Iterator[Callable[[], bool]]:
    """Ctrl-C lets the step end first, so that a complete state is saved; a second Ctrl-C stops at once."""
    asked = []

    def handler(signum: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signum)

    main = threading.current_thread() is threading.main_thread()  # a handler can only be set there
    before = signal.signal(signal.SIGINT, handler) if main else None
    try:
        yield lambda: bool(asked)
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def one_step(
    model: nn.Module, objective: Objective, batch: Batch, settings: Settings, processes: Processes, step: int
) -> dict[str, float]:
    """Forward and backward over this process's share of the batch; returns the loss and its terms over the whole batch.

    The mean of each micro-batch is weighted by the number of things over which it is the mean. So the result does not
    depend on how many micro-batches or processes there are.
    """
    totals = objective.counts(batch)
    micro_batches = split(batch, processes.count * settings.accumulation)[processes.rank :: processes.count]
    torch.manual_seed(mixed(settings.seed, 2, step, processes.rank))  # for dropout
    sums = dict.fromkeys(objective.weights, 0.0)
    for number, micro_batch in enumerate(micro_batches):
        counts = objective.counts(micro_batch)
        micro_batch = {name: tensor.to(processes.device) for name, tensor in micro_batch.items()}
        more_to_come = number + 1 < len(micro_batches) and processes.count > 1
        # A weight with a low-rank update (low_rank.py) is computed once in each pass, not each time it is used.
        with model.no_sync() if more_to_come else nullcontext(), parametrize.cached():
            terms = objective.losses(model, micro_batch)
            shares = {name: term * (counts[name] / max(totals[name], 1)) for name, term in terms.items()}
            loss = sum(objective.weights[name] * share for name, share in shares.items())
            # The processes' gradients are averaged, but here their sum is needed.
            (loss * processes.count).backward()
        for name, share in shares.items():
            sums[name] += float(share.detach())
    terms = dict(zip(sums, processes.total(list(sums.values())), strict=True))
    return {"loss": sum(objective.weights[name] * value for name, value in terms.items()), **terms}


def validated(model: nn.Module, validate: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
    """The result of `validate` for the model, without dropout or gradients."""
    model.eval()
    with torch.no_grad(), parametrize.cached():
        found = validate(model)
    model.train()
    return found


# --------------------------------------------------------------------------------- stopping and continuing

STATE = "training.pt"
LOG = "log.jsonl"


def save(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    settings: Settings,
    step: int,
    log: list[dict[str, Any]],
) -> None:
    """Write everything that a run needs to continue. A kill leaves the old state or the new one, never half of it."""
    state = {
        "step": step,
        "settings": asdict(settings),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "log": json.dumps(log),
    }
    try:
        # The log first: once the state of the last step is written, nothing else may be missing.
        lines = "".join(json.dumps(record) + "\n" for record in log)
        write_file(folder / LOG, lines)
        write_file(folder / STATE, lambda path: torch.save(state, path))
    except MinibertError as problem:
        raise MinibertError(f"{problem} The same command then continues from the last save.") from None


def resume(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, settings: Settings
) -> tuple[int, list[dict[str, Any]]]:
    """Load a saved run's state into model and optimiser; returns the number of steps done and the log."""
    path = folder / STATE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved, now = state["settings"], json.loads(json.dumps(asdict(settings)))
        saved = json.loads(json.dumps(saved))
        step, log = state["step"], json.loads(state["log"])
    except Exception as problem:
        raise MinibertError(f"{path} cannot be read ({problem}): remove it to start again.") from None
    different = [name for name in now if saved.get(name) != now[name]]
    if different:
        name = different[0]
        raise MinibertError(
            f"{folder} holds a run with {name} {saved.get(name)}, not {now[name]}: "
            "continue with the same settings, or choose another folder."
        )
    try:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, ValueError, KeyError):
        raise MinibertError(f"{folder} holds a run of another model: choose another folder.") from None
    return step, log
