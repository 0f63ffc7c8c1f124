"""What comes out of the box is not trusted: each field of each reply is checked, and an odd one costs only its call."""

from __future__ import annotations

import json
import struct

import pytest
import torch

from minibert.classroom import replies
from minibert.exercises.calls import Built, Call, Other, Outcome, Problem, make_call, pack, unpack

CALL = Call((torch.ones(2, 3), [1, 2], torch.arange(3)), grads=(0,))
RIGHT = Outcome(torch.zeros(2), (torch.ones(2, 3),), (), False)
AFTER = list(CALL.args)


def through(answer: object) -> Outcome:
    """A reply as it arrives."""
    return replies.outcome(unpack(pack(answer)), CALL)


def test_an_honest_reply_is_taken_as_it_is():
    found = through(("called", RIGHT, AFTER))
    assert torch.equal(found.output, RIGHT.output)
    assert torch.equal(found.grads[0], RIGHT.grads[0])
    assert found.changed == ()
    assert through(("called", Outcome(problem=Problem("ValueError", "no", 3, "x")), [])).problem.line == 3
    assert through(("called", Outcome(), [])) == Outcome()


ODD_REPLIES = {
    "a number for the whole": 5,
    "nothing": None,
    "another kind": ("ran", RIGHT, AFTER),
    "a kind that is a list": (["called"], RIGHT, AFTER),
    "too few parts": ("called", RIGHT),
    "too many parts": ("called", RIGHT, AFTER, 1),
    "no outcome": ("called", [1], AFTER),
    "a problem for an outcome": ("called", Problem("a", "b"), AFTER),
    "a number for a list of gradients": ("called", Outcome(1, 5), AFTER),
    "no gradients": ("called", Outcome(1, ()), AFTER),
    "too many gradients": ("called", Outcome(1, (torch.ones(2, 3),) * 2), AFTER),
    "a gradient of another shape": ("called", Outcome(1, (torch.ones(3, 2),)), AFTER),
    "a gradient of another type": ("called", Outcome(1, (torch.ones(2, 3).double(),)), AFTER),
    "a gradient that is a string": ("called", Outcome(1, ("x",)), AFTER),
    "no arguments": ("called", RIGHT, []),
    "arguments that are a string": ("called", RIGHT, "abc"),
    "aliased is a number": ("called", Outcome(1, (None,), (), 1), AFTER),
    "aliased is a list": ("called", Outcome(1, (None,), (), [True]), AFTER),
    "a problem that is a string": ("called", Outcome(problem="x"), AFTER),
    "a problem whose type is a number": ("called", Outcome(problem=Problem(5, "x")), AFTER),
    "a problem whose message is a list": ("called", Outcome(problem=Problem("x", ["y"])), AFTER),
    "a problem whose message is a tensor": ("called", Outcome(problem=Problem("x", torch.ones(2))), AFTER),
    "a problem in line -1": ("called", Outcome(problem=Problem("x", "y", -1)), AFTER),
    "a problem in line True": ("called", Outcome(problem=Problem("x", "y", True)), AFTER),
    "a problem with a problem as text": ("called", Outcome(problem=Problem("x", "y", 1, Problem("a", "b"))), AFTER),
    "a call in the output": ("called", Outcome([Call()], (None,)), AFTER),
    "an outcome in the output": ("called", Outcome(Outcome(), (None,)), AFTER),
    "something built in the output": ("called", Outcome(Built("random", (1,)), (None,)), AFTER),
    "an odd type of something else": ("called", Outcome(Other(5), (None,)), AFTER),
    "an output of very many values": ("called", Outcome([0] * 200_000, (None,)), AFTER),
    "an output of very many numbers": ("called", Outcome(torch.zeros(5_000_000).bool(), (None,)), AFTER),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_REPLIES)
def test_an_odd_reply_is_a_value_error(kind):
    with pytest.raises(ValueError):
        through(ODD_REPLIES[kind])


def test_what_was_changed_is_found_out_here():
    """Whatever the reply says about it."""
    for says in ((), (0,), (-1,), (10**9,), "abc"):
        found = through(("called", Outcome(1, (None,), says), [torch.zeros(2, 3), [1, 2], torch.arange(3)]))
        assert found.changed == (0,)
        found = through(("called", Outcome(1, (None,), says), [torch.ones(2, 3), [2, 1], Other("x")]))
        assert found.changed == (1, 2)


def test_nan_and_other_types_are_told_apart_in_arguments():
    call = Call((torch.tensor([float("nan"), 1.0]), 3))
    after: list = []
    assert make_call(lambda x, n: n, call, after).changed == ()
    assert replies.outcome(("called", Outcome(1), after), call).changed == ()
    as_integers = ["x", torch.tensor([0, 1])]
    for wrong in as_integers:
        assert replies.outcome(("called", Outcome(1), [wrong, 3]), call).changed == (0,)


def test_arguments_that_are_built_are_not_compared():
    call = Call((Built("random", (1,)), [Built("generator", (1,))]))
    after: list = []
    make_call(lambda rng, more: rng.random(), call, after)
    assert replies.outcome(("called", Outcome(1), unpack(pack(after))), call).changed == ()


def test_an_honest_result_that_is_too_large_for_a_message_is_named():
    assert make_call(lambda: 10**400, Call()).output == Other("very large integer")
    assert make_call(lambda: -(2**63), Call()).output == Other("very large integer")
    assert make_call(lambda: "x" * 10**6, Call()).output == Other("very long string")
    assert make_call(lambda: [2**60, "é"], Call()).output == [2**60, "é"]


# ----------------------------------------------------------------------------------------- bytes and headers


def packed(header: object, *arrays: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + b"".join(arrays)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"abc", packed(b""), packed(b"{"), packed({}), packed([1]), packed(1.5), packed({"a": 1, "b": 2}),
        packed(b"NaN"), packed(b"1" + b"0" * 400), packed(2**63), packed({"float": 5}), packed({"float": "x"}),
        packed({"float": "0x1p99999"}),
        packed({"record": ["Exception", {}]}), packed({"record": ["Outcome", {"nothing": 1}]}), packed({"record": 5}),
        packed({"record": ["Outcome", {"__class__": 1}]}), packed({"dict": 5}), packed({"dict": [[1]]}),
        packed({"list": "abc"}), packed({"set": []}), packed({"tensor": ["object", [1], 8]}, bytes(8)),
        packed({"tensor": ["float64", [1], 8]}, bytes(4)), packed({"tensor": ["float64", [2], 8]}, bytes(8)),
        packed({"tensor": ["float64", [-1], 8]}, bytes(8)), packed({"tensor": ["float64", [2**62, 4], 8]}, bytes(8)),
        packed({"tensor": ["float64", [0, 2**50], 0]}), packed({"tensor": ["float64", [1], -8]}, bytes(8)),
        packed({"tensor": ["float64", [1.0], 8]}, bytes(8)), packed({"tensor": ["float64", "1", 8]}, bytes(8)),
        packed({"tensor": ["float64", [1] * 40, 8]}, bytes(8)), packed({"tensor": ["float64", [True], 8]}, bytes(8)),
        packed(b"[" * 100_000), packed(b'{"list":[' * 5000 + b"]}" * 5000), struct.pack("<I", 2**31) + b"x",
    ],
)  # fmt: skip
def test_bytes_that_no_worker_sends_are_a_value_error(data):
    with pytest.raises(ValueError, match="not a message"):
        unpack(data)


@pytest.mark.parametrize("many", ["0," * 3_000_000, "[]," * 2_000_000, '{"list":[]},' * 600_000])
def test_a_message_that_is_made_to_be_slow_is_refused_before_it_is_parsed(monkeypatch, many):
    """Two million empty lists fit into the largest message that is accepted."""
    data = packed(b'{"list":[' + many.encode() + b"0]}")
    monkeypatch.setattr("minibert.exercises.calls.json.loads", lambda text: pytest.fail("parsed"))
    with pytest.raises(ValueError, match="not a message"):
        unpack(data)


def test_half_characters_cannot_stop_a_report():
    text = unpack(pack("a\ud800b"))
    text.encode()
    assert unpack(pack({"\udfff": 1})) == {"\\udfff": 1}
    assert replies.clean("a\ud800b").encode() == "a\ufffdb".encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil\x07click\x1b]8;;\x07", "click"),
        ("\x1b]0;title\x1b\\x", "x"),
        ("a\x9b31mb", "a\ufffd31mb"),
        ("a\rb\r\nc", "a\nb\nc"),
        ("a\x00\x08\u202eb", "a\ufffd\ufffd\ufffdb"),
        ("tab\tand line\n", "tab\tand line\n"),
    ],
)
def test_texts_are_shown_without_what_a_terminal_obeys(text, shown):
    assert replies.clean(text) == shown


def test_long_texts_are_cut():
    assert len(replies.clean("x" * 60_000_000)) < 1600


# -------------------------------------------------------------------------------------- the other replies

SUBMISSION = {
    "name": "a.py", "statements": [["X = 1", 1]], "names": ["X"], "problems": [], "borrowed": [], "cells": [],
    "functions": 0, "twin": "", "broken": False,
}  # fmt: skip


def test_what_was_read_is_taken_as_it_is():
    (found,) = replies.submissions(unpack(pack(("read", [SUBMISSION]))))
    assert found.statements == [("X = 1", 1)]
    assert replies.submissions(unpack(pack(("unread", "it is not read")))) == "it is not read"


@pytest.mark.parametrize(
    "change",
    [
        {"name": 5}, {"statements": 5}, {"statements": [5]}, {"statements": [["X = 1"]]}, {"statements": [["X", "1"]]},
        {"statements": [[1, 1]]}, {"statements": [["X", -1]]}, {"names": [1]}, {"problems": "abc"}, {"problems": [[]]},
        {"borrowed": None}, {"cells": ["1"]}, {"functions": -1}, {"functions": True}, {"twin": None}, {"broken": 0},
        {"more": 1}, {"statements": [["X", 1]] * 20_001}, {"problems": [""] * 300},
    ],
)  # fmt: skip
def test_an_odd_reply_about_a_file_is_a_value_error(change):
    with pytest.raises(ValueError):
        replies.submissions(unpack(pack(("read", [{**SUBMISSION, **change}]))))


@pytest.mark.parametrize(
    "answer", [("ran", 5, []), ("ran", [5], []), ("ran", [], 5), ("ran", [], ["x"]), ("ran", []), ("ran", "abc", []),
               ("ran", [], [Outcome()])],
)  # fmt: skip
def test_an_odd_reply_about_what_ran_is_a_value_error(answer):
    with pytest.raises(ValueError):
        replies.ran(unpack(pack(answer)))
