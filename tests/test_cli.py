"""The command line: what it prints, where, and with which exit status."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import minibert.lessons
from minibert import assets, claims, plots
from minibert.cli import main as cli, tour
from minibert.cli.main import command_line, main
from minibert.cli.options import add_command
from minibert.errors import MinibertError
from minibert.experiments import benches
from minibert.pinned import names

ROOT = Path(__file__).parents[1]
COMMANDS = command_line()[1]
HEAVY = {"torch", "numpy", "matplotlib", "tqdm"}


def python(script: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, **settings)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr; stdout must be empty."""
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("minibert: ")
    return line


# --------------------------------------------------------------------------------------------- asking for help


def test_help_names_every_command_and_loads_nothing_heavy():
    script = "import sys; from minibert.cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    done = python(script)
    assert done.returncode == 0
    *shown, modules = done.stdout.splitlines()
    assert len(COMMANDS) >= 12
    for name in COMMANDS:
        assert any(line.split()[:1] == [name] and len(line.split()) > 3 for line in shown)
    assert not HEAVY & {*modules.split()}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    usage, description = capsys.readouterr().out.split("\n\n")[:2]
    assert usage.startswith(f"usage: minibert {name}")
    assert description[0].isupper()
    assert description.endswith(".")


def test_the_help_of_every_command_loads_nothing_heavy():
    script = f"""
import sys
from minibert.cli.main import main
for name in {COMMANDS}:
    try: main([name, "--help"])
    except SystemExit: pass
print(*sys.modules)
"""
    assert not HEAVY & {*python(script).stdout.splitlines()[-1].split()}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["claim"], "there is no command 'claim'; did you mean claims?"),
        (
            ["xyzzy"],
            "there is no command 'xyzzy'; known: claims, fetch, fill, pretrain, distill, finetune, lessons,",
        ),
        (["claims", "--jsn"], "unknown arguments: --jsn; `minibert claims --help` lists the options."),
        (["progress", "x", "y"], "unknown arguments: x y; `minibert progress --help` lists the options."),
        (["--jsn"], "unknown arguments: --jsn; `minibert --help` lists the options."),
        (["check"], "the following arguments are required: FILE; `minibert check --help` lists the options."),
        (["claims", "--json", "--markdown"], "not allowed with argument --json"),
        (["--seed", "two"], "argument --seed: must be an integer, but is 'two'; `minibert --help` lists the options."),
        (["--seed", "9" * 20], "argument --seed: must be an integer of at most 64 bits"),
        (["--seed", "3", "claims"], "--seed before a command is for the tour: give the options of claims after"),
        (["--figures", "here", "bench"], "--figures before a command is for the tour"),
        (["--seed", "3", "xyzzy"], "invalid choice: 'xyzzy'"),
        (["claims", "D99"], "there is no claim 'D99'"),
        (["claims", "--quick"], "give --measure"),
        (["claims", "--record"], "give --measure"),
        (["claims", "--measure", "--record", "--quick"], "a quick measurement is not recorded"),
        (["claims", "--update-readme", "no/such/README.md"], "no/such/README.md cannot be read"),
        (["fetch", "no-such-asset"], "no-such-asset"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_2(arguments, sentence, capsys):
    assert main(arguments) == 2
    assert sentence in complaint(capsys)


# --------------------------------------------------------------------------------------------- how it ends


def ends_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def run(args):
        raise error

    group = SimpleNamespace(add_commands=lambda commands: add_command(commands, "try", "for a test", run))
    monkeypatch.setattr(cli, "GROUPS", (*cli.GROUPS, group))
    return main(["try"])


def test_an_error_meant_for_people_is_printed_and_status_2(monkeypatch, capsys):
    assert ends_with(MinibertError("the disk is full."), monkeypatch) == 2
    assert complaint(capsys) == "minibert: the disk is full."


def test_an_error_of_the_program_is_not_hidden(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        ends_with(ZeroDivisionError(), monkeypatch)


def test_an_interrupt_is_one_line_and_status_130(monkeypatch, capsys):
    assert ends_with(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err.strip() == "minibert: interrupted."


TALKATIVE = """
import sys
from types import SimpleNamespace
from minibert.cli import main as cli
from minibert.cli.options import add_command
def run(args):
    for line in range(LINES): print("1.5× – ten thousand such lines do not fit into a pipe")
cli.GROUPS += (SimpleNamespace(add_commands=lambda commands: add_command(commands, "talk", "for a test", run)),)
sys.exit(cli.main(["talk"]))
"""


@pytest.mark.parametrize("lines", [10, 10_000])  # met when the output is flushed at the end, and before
def test_a_reader_that_leaves_early_is_not_an_error(lines):
    script = TALKATIVE.replace("LINES", str(lines))
    talking = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    talking.stdout.close()
    assert talking.stderr.read() == ""
    talking.stderr.close()
    assert talking.wait() == 141


DEVICE = Path("/dev/full")  # each write to it fails, as on a full disk


@pytest.mark.skipif(not DEVICE.exists(), reason="this system has no such device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "minibert", "--help"],
        ["-m", "minibert", "lessons", "--help"],
        ["-c", TALKATIVE.replace("LINES", "1")],
        ["-m", "minibert", "bench", "no-such-bench"],
    ],
)
def test_what_cannot_be_printed_is_one_sentence(arguments, unbuffered):
    with DEVICE.open("w") as full:
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=full, stderr=subprocess.PIPE,
                              text=True, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})  # fmt: skip
    assert done.returncode == 2
    assert ("there is no bench" if "bench" in arguments else "output cannot be written (No space left") in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="closes streams as a shell does")
@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_stream_is_no_traceback(closed):
    command = f'exec "{sys.executable}" -m minibert bench no-such-bench {closed}>&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""  # a sentence about what was wrong never goes into the output
    told = "minibert: there is no standard output to print to: do not close it, or send it to a file.\n"
    assert done.stderr == (told if closed == "1" else "")


def test_an_error_of_a_file_is_not_taken_for_one_of_the_output(monkeypatch):
    monkeypatch.setattr(cli, "drop_output", lambda: None)
    assert ends_with(OSError(28, "No space left on device"), monkeypatch) == 2
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space"):
        ends_with(OSError(28, "No space left on device", "some/file"), monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["lessons", "--html", "--out", ""], "--out"),
        (["explore", "hi", "--out="], "--out"),
        (["explore", ""], "TEXT"),
        (["mine", "--page", ""], "--page"),
        (["grade", ""], "FOLDER"),
        (["export", "exam", "--out", ""], "--out"),
        (["claims", "--update-readme", ""], "--update-readme"),
        (["pretrain", "--out", ""], "--out"),
        (["--figures", ""], "--figures"),
        (["hunt", "gelu", "--name", ""], "--name"),
    ],
)
def test_nothing_is_not_taken_for_this_folder(arguments, name, capsys):
    assert main(arguments) == 2
    assert f"argument {name}: is empty: give a value, or leave it out" in complaint(capsys)


def test_every_argument_of_every_command_refuses_nothing():
    parser, names = cli.command_line()
    (commands,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    for command in [parser, *(commands.choices[name] for name in names)]:
        for action in command._actions:
            if action.nargs != 0 and action is not commands and action.choices is None:
                with pytest.raises((argparse.ArgumentError, argparse.ArgumentTypeError, ValueError)):
                    command._get_value(action, "")


def test_a_terminal_without_the_characters_still_gets_the_text():
    done = python(TALKATIVE.replace("LINES", "1"), env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stdout.startswith("1.5? ? ten thousand")


# --------------------------------------------------------------------------------------------- the commands


def test_without_a_command_the_tour_is_run(monkeypatch):
    asked = []
    monkeypatch.setattr(tour, "tour", lambda *arguments: asked.append(arguments))
    assert main([]) == 0
    assert main(["--figures", "elsewhere", "--seed", "3"]) == 0
    assert main(["--seed", "-1"]) == 0
    assert asked == [("figures", 0), ("elsewhere", 3), ("figures", -1)]


def test_claims_prints_the_ledger_or_the_rows_asked_for(capsys):
    assert main(["claims", "D1", "A1"]) == 0
    assert capsys.readouterr().out == claims.to_text(claims.results(["D1", "A1"])) + "\n"
    assert main(["claims", "--markdown"]) == 0
    assert capsys.readouterr().out == claims.to_markdown(claims.results()) + "\n"
    assert main(["claims", "D8", "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == ["D8"]


@pytest.fixture
def timed(monkeypatch):
    """Which claims were measured, and how, and which were recorded; nothing is really timed or written."""
    asked = {"measured": [], "recorded": []}

    def measure(id, quick, progress):
        progress(1, 1)
        asked["measured"].append((id, quick))
        return claims.Result(id, "measured just now", "holds", "Made up.")

    monkeypatch.setattr(claims, "measure", measure)
    monkeypatch.setattr(claims, "record", lambda result: asked["recorded"].append(result.id))
    return asked


def test_claims_measures_the_timed_rows_and_no_other(timed, capsys):
    assert main(["claims", "D1", "D2", "D3", "--measure"]) == 0
    assert timed == {"measured": [("D2", False)], "recorded": []}
    assert "measured just now" in capsys.readouterr().out
    assert main(["claims", "--measure", "--quick", "--json"]) == 0
    assert timed["measured"][1:] == [(id, True) for id, claim in claims.LEDGER.items() if claim.kind == "timed"]
    assert len(json.loads(capsys.readouterr().out)) == len(claims.LEDGER)


def test_claims_records_what_it_measured_when_told_to(timed, capsys):
    assert main(["claims", "D1", "D2", "--measure", "--record"]) == 0
    assert timed["recorded"] == ["D2"]
    assert "recorded" not in capsys.readouterr().out  # stdout is for the table


def test_claims_fills_a_readme_and_draws_the_recorded_speeds_beside_it(tmp_path, monkeypatch, capsys):
    figures = {"tokens": [32], "ratio": [1.9], "ratio_low": [1.8], "ratio_high": [2.0]}
    known = claims.results(["D2", "A2-inference"])
    recorded = replace(known[0], figures=figures, machine={"threads": 2})
    monkeypatch.setattr(claims, "results", lambda ids: [recorded, replace(known[1], figures={})])
    markers = "".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in ("members", "family", "claims"))
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n{markers}")
    assert main(["claims", "--update-readme", str(readme)]) == 0
    assert "109,482,240" in readme.read_text()
    assert (tmp_path / "figures" / "speed.png").exists()
    assert (tmp_path / "figures" / "parameters.png").exists()
    assert "updated" in capsys.readouterr().out
    monkeypatch.setattr(plots, "save", lambda figure, path: path)  # the same again
    assert main(["claims", "--update-readme", str(readme)]) == 0
    assert "nothing to change" in capsys.readouterr().out


def test_fetch_gets_all_assets_or_those_named(monkeypatch, capsys):
    monkeypatch.setattr(assets, "fetch", lambda name: Path("cache") / name)
    monkeypatch.setattr(assets, "verify", lambda name: Path("verified") / name)
    assert main(["fetch"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: {Path('cache') / name}" for name in names()]
    assert main(["fetch", "minilm-l6", "--verify"]) == 0
    assert capsys.readouterr().out == f"minilm-l6: {Path('verified/minilm-l6')} (checked)\n"


def test_bench_runs_the_benches_asked_for(monkeypatch, capsys):
    asked = []

    def fake(rounds, seed):
        """Made up."""
        asked.append((rounds, seed))
        return {"words": 1234}

    monkeypatch.setattr(benches, "masked_lm", fake)
    assert main(["bench", "masked-lm", "--seed", "5"]) == 0
    assert "masked-lm: Made up." in capsys.readouterr().out
    assert main(["bench", "masked-lm", "--quick"]) == 0
    assert "1,234" in capsys.readouterr().out
    assert asked == [(9, 5), (3, 0)]


def test_the_module_is_the_command():
    """``python -m minibert`` and the installed ``minibert`` go through main."""
    done = subprocess.run([sys.executable, "-m", "minibert", "claim"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == cli.FAILED
    assert "did you mean claims?" in done.stderr


def test_a_package_that_is_not_installed_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jupytext", None)  # as if it were not there
    for name in ("building", "lesson"):
        monkeypatch.delitem(sys.modules, f"minibert.lessons.{name}", raising=False)
        monkeypatch.delattr(minibert.lessons, name, raising=False)
    assert main(["lessons"]) == 2
    assert "needs the package jupytext, which is not installed" in capsys.readouterr().err
