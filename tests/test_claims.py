"""The claims ledger: exact counts, verdicts on both sides of their lines, and tables in step with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from minibert import PRESETS, claims, files
from minibert.claims import LEDGER, VERDICTS, counted, records, timed, tried
from minibert.claims.overview import _layers
from minibert.claims.sizes import _in_unit, size_verdict
from minibert.claims.tables import fill_markers
from minibert.errors import MinibertError
from minibert.experiments import speed, tried as trials
from minibert.models import FAMILIES

ROOT = Path(__file__).parents[1]
HOLDS, CONDITION, FAILS, UNMEASURED = VERDICTS


def result(id):
    return claims.results([id])[0]


@pytest.fixture(scope="module")
def everything():
    """What is known about every claim: counted and tried again, once."""
    return claims.results()


@pytest.fixture
def recorded_folder(tmp_path, monkeypatch):
    """An empty place for recorded results."""
    monkeypatch.setattr(records, "RECORDED", tmp_path / "recorded")
    return tmp_path / "recorded"


# ---------------------------------------------------------------------------------------------- every row


def test_every_row_has_a_verdict_a_source_and_a_reason(everything):
    found = everything
    assert [r.id for r in found] == list(LEDGER)
    for r in found:
        claim = LEDGER[r.id]
        assert r.verdict in VERDICTS
        assert all(text.strip() for text in (r.ours, r.why, claim.statement, claim.source, claim.paper_value)), r.id
        assert r.why.endswith(".")
        assert claim.statement.endswith(".")
        assert claim.kind in records.KINDS
        assert set(claim.models) <= set(PRESETS)


def test_a_row_is_measured_or_says_why_not(everything):
    for r in everything:
        if r.verdict == UNMEASURED:
            assert "It would take" in r.why
        elif not r.figures:
            assert r.why.startswith("By the paper's own table")


def test_what_is_trained_can_be_rerun_but_for_the_rows_that_take_a_data_centre():
    trained = [claim for claim in LEDGER.values() if claim.kind == "trained"]
    assert {claim.id for claim in trained if claim.measure is None} == {"A4", "A7"}
    assert all((claim.measure is None) == (claim.judge is None) for claim in trained)


def test_an_unknown_id_is_answered_with_the_ids_there_are():
    for ask in (lambda: claims.results(["D1", "D99"]), lambda: claims.measure("D99")):
        with pytest.raises(MinibertError, match=r"'D99'.*D1, D2, .*A2-inference"):
            ask()


def test_results_come_in_the_order_asked_for():
    assert [r.id for r in claims.results(["A1", "D1"])] == ["A1", "D1"]


# ------------------------------------------------------------------------------------------------ counted


def test_every_published_model_is_counted_exactly():
    assert result("C1").figures == counted.PUBLISHED
    assert result("C1").verdict == HOLDS


def test_one_parameter_too_many_is_noticed():
    assert counted.judge_counts(counted.PUBLISHED | {"albert-base-v2": 11_683_585}).verdict == FAILS


def test_where_the_forty_percent_come_from():
    figures = result("D1").figures
    assert (figures["bert"], figures["distilbert"]) == (109_482_240, 66_362_880)
    assert figures["saved_by_blocks"] == 6 * 7_087_872
    assert figures["saved_by_blocks"] + figures["token_types"] + figures["pooler"] == 109_482_240 - 66_362_880
    assert result("D1").ours.startswith("39.4% fewer")
    assert "38.8%" in result("D1").why
    assert "0.54%" in result("D1").why
    assert result("D1").verdict == HOLDS


@pytest.mark.parametrize(("distilbert", "verdict"), [(609, HOLDS), (591, HOLDS), (611, FAILS), (589, FAILS)])
def test_forty_percent_holds_within_a_point(distilbert, verdict):
    figures = {"bert": 1000, "distilbert": distilbert, "saved_by_blocks": 380, "token_types": 1, "pooler": 1}
    assert counted.judge_smaller(figures).verdict == verdict


def test_token_types_and_pooler_are_left_out():
    figures = result("D5").figures
    assert figures["token_types"] + figures["pooler"] == 592_128
    assert result("D5").verdict == HOLDS
    assert counted.judge_left_out(figures | {"distilbert_pooler": 590_592}).verdict == FAILS


def test_eighteen_times_fewer_holds_for_the_large_pair_only():
    assert result("A1").ours == "18.95× fewer (large), 9.37× fewer (base)"
    assert result("A1").verdict == CONDITION


@pytest.mark.parametrize(("base", "large", "verdict"), [(1, 1, HOLDS), (2, 1, CONDITION), (2, 2, FAILS)])
def test_eighteen_times_fewer_is_judged_pair_by_pair(base, large, verdict):
    figures = {"bert_base": 18, "albert_base": base, "bert_large": 18, "albert_large": large}
    assert counted.judge_eighteen(figures).verdict == verdict


def test_factorised_embeddings_are_the_two_products():
    figures = result("A5").figures
    assert figures["plain"] == 30_000 * 768
    assert figures["factorised"] == 30_000 * 128 + 128 * 768
    assert result("A5").verdict == HOLDS
    assert counted.judge_factorised(figures | {"factorised": figures["factorised"] + 768}).verdict == FAILS


def test_twelve_fold_is_of_the_encoder_only():
    figures = result("A6").figures
    assert (figures["encoder_apart"], figures["encoder_shared"]) == (85_054_464, 7_087_872)
    assert figures["model_shared_128"] == counted.PUBLISHED["albert-base-v2"]
    # V x E, the rest of the embeddings, E x H with its bias, the blocks, the pooler
    assert figures["model_apart_768"] == 23_040_000 + 396_288 + 590_592 + 12 * 7_087_872 + 590_592
    assert figures["model_apart_768"] - figures["model_shared_768"] == 11 * 7_087_872
    assert result("A6").verdict == CONDITION
    assert counted.judge_sharing(figures | {"model_shared_128": 7e6, "model_shared_768": 9e6}).verdict == HOLDS
    assert counted.judge_sharing(figures | {"encoder_shared": 8_000_000}).verdict == FAILS


def test_sharing_saves_more_than_factorising_as_the_ledger_says():
    sharing, factorising = result("A6").figures, result("A5").figures
    assert sharing["model_apart_128"] - sharing["model_shared_128"] > factorising["plain"] - factorising["factorised"]


def test_the_dropout_that_the_ledger_speaks_of_is_that_of_the_presets():
    for name in (name for name in counted.PUBLISHED if name.startswith("albert")):
        config = PRESETS[name]
        dropouts = (config.hidden_dropout_prob, config.attention_probs_dropout_prob, config.head_dropout)
        assert dropouts == (0, 0, 0.1)


# -------------------------------------------------------------------------------------------------- tried


def test_the_students_copy_the_layers_they_say():
    figures = result("D4").figures
    assert figures["alternate"] == [0, 2, 4, 6, 8, 10]
    assert figures["released"] == [0, 2, 4, 7, 9, 11]
    assert result("D4").verdict == CONDITION
    assert "both 5 and 6" in result("D4").why


def test_the_students_verdict_follows_the_layers():
    figures = result("D4").figures
    strict = tried.judge_students(figures | {"released": figures["alternate"]})
    assert strict.verdict == HOLDS
    assert "does not alternate" not in strict.why
    deeper = tried.judge_students(figures | {"published_blocks": 4})
    assert deeper.verdict == FAILS
    assert deeper.why.startswith("The depth is not halved.")


def test_the_shown_code_fails_and_what_to_write_instead_works():
    figures = result("D8").figures
    assert figures["error"] == "TypeError: cannot unpack non-iterable Output object"
    assert figures["dict_error"].startswith("ValueError: not enough values to unpack")
    assert figures["dict_binds"] == "hidden_states"  # a string, and no tensor
    assert figures["first_position_shape"] == [1, trials.SMALL["hidden_size"]]
    assert result("D8").verdict == FAILS
    assert tried.judge_unpacking(figures | {"error": None}).verdict == HOLDS


# -------------------------------------------------------------------------------------------------- timed


def speeds(ratios, low=None, high=None):
    """Made-up figures of a comparison."""
    return {
        "tokens": [32, 128, 256],
        "ratio": ratios,
        "ratio_low": low or ratios,
        "ratio_high": high or ratios,
        "time_saved": [1 - 1 / ratio for ratio in ratios],
    }


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        (speeds([1.6, 1.9, 2.0]), HOLDS),
        (speeds([1.59, 1.9, 2.0], high=[1.7, 2.0, 2.1]), CONDITION),
        (speeds([1.59, 1.59, 1.59], high=[1.7, 1.7, 1.7]), FAILS),
    ],
)
def test_sixty_percent_faster_holds_where_the_median_reaches_it(figures, verdict):
    assert timed.judge_sixty(figures).verdict == verdict


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        (speeds([1.3, 1.3, 1.3], low=[1.1, 1.2, 1.2]), HOLDS),
        (speeds([1.3, 1.3, 1.3], low=[1.2, 1.09, 1.0]), CONDITION),
        (speeds([1.3, 1.3, 1.3], low=[1.09, 1.0, 1.0]), FAILS),
        (speeds([1.0, 0.9, 1.05]), FAILS),
    ],
)
def test_faster_means_a_tenth_and_beyond_the_spread(figures, verdict):
    assert timed.judge_faster(figures).verdict == verdict


def test_a_condition_names_the_lengths_where_it_holds():
    assert "at 128 and 256 tokens only" in timed.judge_sixty(speeds([1.5, 1.9, 2.0])).why


def test_both_ways_of_saying_faster_are_shown():
    ours = timed.judge_sixty(speeds([1.6, 2.0, 1.25], low=[1.5, 1.9, 1.2], high=[1.7, 2.1, 1.3])).ours
    assert "1.60× (1.50–1.70), 2.00× (1.90–2.10), 1.25× (1.20–1.30)" in ours
    assert "38% / 50% / 20% less time" in ours


def test_a_comparison_gives_a_figure_a_length_and_leaves_torch_as_it_was(monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", 3)
    monkeypatch.setattr(speed, "THREADS", torch.get_num_threads() + 1)
    monkeypatch.setattr(speed, "machine", lambda: {"cores": 64})
    before, told = torch.get_num_threads(), []
    figures = speed.compare_speed(
        "tiny-bert", "tiny-distilbert", lengths=(4, 8), progress=lambda done, of: told.append((done, of))
    )
    assert figures["tokens"] == [4, 8]
    for name in ("ratio", "ratio_low", "ratio_high", "time_saved"):
        assert len(figures[name]) == 2
    for name in ("tiny-bert", "tiny-distilbert"):
        assert len(figures["seconds"][name]) == 2
        assert [len(runs) for runs in figures["rounds"][name]] == [3, 3]
    assert told == [(done, 16) for done in range(1, 17)]  # 2 lengths, 3 rounds and a warm-up, 2 models
    assert figures["threads"] == before + 1
    assert torch.get_num_threads() == before
    assert json.loads(json.dumps(figures)) == figures


def test_a_comparison_says_how_many_times_as_fast_the_challenger_is(monkeypatch):
    def two_and_three_seconds(functions, rounds, progress):
        return dict(zip(functions, ([3.0] * rounds, [2.0] * rounds), strict=True))

    monkeypatch.setattr(speed, "paired", two_and_three_seconds)
    figures = speed.compare_speed("tiny-bert", "tiny-distilbert", lengths=(4,))
    assert figures["ratio"] == [1.5]
    assert figures["time_saved"] == [0.333]


def test_the_family_takes_turns_and_its_operations_are_counted(monkeypatch):
    monkeypatch.setattr(speed, "QUICK_ROUNDS", 2)
    told: list[tuple[int, int]] = []
    others = {name: PRESETS[name] for name in ("tiny-distilbert", "tiny-bart")}
    figures = speed.compare_family("tiny-bert", others, quick=True, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 9) for done in range(1, 10)]  # 2 rounds and a warm-up, 3 models
    for name in ("parameters", "operations", "seconds", "rounds"):
        assert list(figures[name]) == ["tiny-bert", *others]
    for name in ("ratio", "ratio_low", "ratio_high"):
        assert list(figures[name]) == [*others]
    assert figures["parameters"] == {name: counted.size_of(name) for name in ("tiny-bert", *others)}
    assert json.loads(json.dumps(figures)) == figures


def test_operations_are_those_of_the_formulas():
    """Per layer 2·S·(4·D² + 2·D·F) for the linear layers and 4·S²·D for the two products of attention; the pooler."""
    c, s = PRESETS["tiny-bert"], 10
    d, f = c.hidden_size, c.intermediate_size
    by_hand = c.num_hidden_layers * (2 * s * (4 * d * d + 2 * d * f) + 4 * s * s * d) + 2 * d * d
    assert speed.operations(c, s) == by_hand


def of_the_family(mobilebert, low, plain):
    """Figures of M2 with these speeds of MobileBERT, as published and with layer norm and GELU."""
    names = ("mobilebert-uncased", "MobileBERT with layer norm and GELU")
    speeds = dict(zip(names, (mobilebert, plain), strict=True))
    figures = {"tokens": 128, "operations": {"bert-base-uncased": 24e9, "mobilebert-uncased": 6e9}}
    return figures | {"ratio": speeds, "ratio_low": speeds | {names[0]: low}, "ratio_high": speeds}


@pytest.mark.parametrize(
    ("mobilebert", "low", "verdict"), [(5.5, 5.0, HOLDS), (5.4, 3.3, CONDITION), (5.4, 3.2, FAILS), (2.3, 2.2, FAILS)]
)
def test_how_fast_mobilebert_is(mobilebert, low, verdict):
    found = LEDGER["M2"].judge(of_the_family(mobilebert, low, 1.5))
    assert found.verdict == verdict
    assert f"{mobilebert:.2f}×" in found.ours
    assert "1.50×" in found.ours
    assert "4.0× fewer" in found.why


@pytest.mark.parametrize(
    ("id", "changes", "verdict"),
    [
        ("M1", {}, HOLDS),
        ("M1", {"mobilebert-uncased": 26_000_000}, FAILS),
        ("R4", {}, HOLDS),
        ("R4", {"roberta-large": 350_000_000}, FAILS),
        ("D7", {}, CONDITION),
        ("D7", {"gpus": 16}, HOLDS),
        ("B2", {}, FAILS),
        ("B2", {"bart-base": 120_000_000, "bart-large": 370_000_000}, HOLDS),
        ("B2", {"bart-base": 120_000_000}, FAILS),
    ],
)
def test_what_is_counted_of_the_relatives(id, changes, verdict):
    claim = LEDGER[id]
    assert claim.judge(claim.measure() | changes).verdict == verdict


# ----------------------------------------------------------------------------------------------- recorded


def measured(id, figures):
    machine = {"processor": "an abacus", "threads": 2, "torch": "2.0"}
    return records.judged(LEDGER[id], figures, machine=machine, date="2026-01-31", commit="abc1234")


def test_a_recorded_result_reads_back_the_same(recorded_folder):
    kept = measured("D2", speeds([1.7, 1.8, 1.9]))
    path = claims.record(kept)
    assert path == recorded_folder / "D2.json"
    assert result("D2") == kept
    assert [path.name for path in recorded_folder.iterdir()] == ["D2.json"]


def test_the_verdict_is_drawn_from_the_recorded_figures(recorded_folder):
    claims.record(measured("D2", speeds([1.7, 1.8, 1.9])))
    assert result("D2").verdict == HOLDS
    claims.record(measured("D2", speeds([1.1, 1.1, 1.1])))
    assert result("D2").verdict == FAILS


def test_what_is_not_recorded_is_not_measured_here(recorded_folder):
    assert result("D2").verdict == UNMEASURED


def test_a_damaged_record_is_named(recorded_folder):
    recorded_folder.mkdir()
    for damaged in ("", "[]", '{"id": "D2"}', '{"machine": {}, "date": "", "commit": "", "figures": {}}'):
        (recorded_folder / "D2.json").write_text(damaged)
        with pytest.raises(MinibertError, match=r"D2\.json cannot be read.*measure D2 again"):
            result("D2")


def test_counted_results_are_not_recorded(recorded_folder):
    with pytest.raises(MinibertError, match="D1 has nothing to record"):
        claims.record(result("D1"))
    assert not recorded_folder.exists()


def test_a_failed_write_leaves_the_older_record(recorded_folder, monkeypatch):
    claims.record(measured("D2", speeds([1.7, 1.8, 1.9])))

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Path, "replace", full_disk)
    with pytest.raises(MinibertError, match="No space left"):
        claims.record(measured("D2", speeds([1.1, 1.1, 1.1])))
    assert result("D2").verdict == HOLDS
    assert [path.name for path in recorded_folder.iterdir()] == ["D2.json"]


def test_measuring_says_where_and_when_and_records_nothing(recorded_folder, monkeypatch):
    compare = dataclasses.replace(LEDGER["D2"], measure=lambda quick, progress: speeds([2.0] * 3) | {"threads": 1})
    monkeypatch.setitem(LEDGER, "D2", compare)
    found = claims.measure("D2", quick=True)
    assert found.verdict == HOLDS
    assert found.machine["threads"] == 1
    assert len(found.date) == len("2026-01-31")
    assert not recorded_folder.exists()


def test_measuring_what_is_counted_counts_it():
    assert claims.measure("D1") == result("D1")


def test_measuring_what_is_not_trained_here_says_what_it_takes():
    with pytest.raises(MinibertError, match=r"A7 is not measured here. It would take training xxlarge"):
        claims.measure("A7")


def test_the_records_in_the_package_are_whole_and_name_no_host():
    timed_ids = [claim.id for claim in LEDGER.values() if claim.kind == "timed"]
    for id in timed_ids:
        kept = json.loads((records.RECORDED / f"{id}.json").read_text())
        assert set(kept) == {"id", "date", "commit", "machine", "figures"}
        assert kept["id"] == id
        assert kept["figures"]["tokens"] == (speed.FAMILY_TOKENS if id == "M2" else list(speed.TOKENS))
        assert kept["figures"]["seeds"]
        assert "node" not in kept["machine"]
        assert set(kept["figures"]["rounds"]) >= set(LEDGER[id].models)
    assert "claims/recorded/*.json" in (ROOT / "pyproject.toml").read_text()


# ------------------------------------------------------------------------------------------------- tables


def test_text_fits_a_terminal_and_says_all(everything):
    found = everything
    text = claims.to_text(found)
    assert max(map(len, text.splitlines())) <= 100
    flat = " ".join(text.split())
    for r in found:
        claim = LEDGER[r.id]
        for part in (claim.statement, claim.paper_value, claim.source, r.ours, r.why, r.verdict.upper()):
            assert " ".join(part.split()) in flat
    assert "an abacus, 2 threads" in claims.to_text([measured("D2", speeds([1.7, 1.8, 1.9]))])


def test_markdown_has_as_many_cells_in_every_row(everything):
    for table in (
        claims.to_markdown(everything),
        claims.family_markdown(claims.family()),
        claims.members_markdown(claims.members()),
    ):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert claims.to_markdown(everything).count("\n| **") == len(LEDGER)


def test_a_bar_inside_a_cell_does_not_end_it():
    broken = dataclasses.replace(result("D1"), ours="a | b")
    assert r"a \| b" in claims.to_markdown([broken])


def test_json_holds_every_result_with_its_claim(everything):
    listed = json.loads(claims.to_json(everything))
    assert [entry["id"] for entry in listed] == list(LEDGER)
    for entry, r in zip(listed, everything, strict=True):
        assert entry["verdict"] == r.verdict
        assert entry["figures"] == json.loads(json.dumps(r.figures))
        assert entry["source"] == LEDGER[r.id].source


# ------------------------------------------------------------------------------------------------- family


def test_the_family_is_every_published_model_counted_by_part():
    rows = claims.family()
    assert {row.name: row.total for row in rows} == counted.PUBLISHED
    for row in rows:
        assert sum(row.parts.values()) == row.total
        assert row.ratio == row.total / counted.PUBLISHED[row.bert]
        assert row.verdict in VERDICTS
        assert row.source


def test_the_family_is_compared_with_the_bert_of_its_size():
    by_name = {row.name: row for row in claims.family()}
    assert by_name["distilbert-base-uncased"].here == "39.4% fewer"
    assert by_name["albert-base-v2"].here == "9.37× fewer"
    assert by_name["albert-large-v2"].here == "18.95× fewer"
    assert by_name["albert-xxlarge-v2"].here == "66.4% of it (222.6M)"
    assert by_name["albert-xlarge-v2"].bert == "bert-large-uncased"


@pytest.mark.parametrize(
    ("unit", "number", "here"),
    [("M", 110, "110.0M"), ("% more", 10, "10.0% more"), ("% of it", 110, "110.0% of it (110.0M)")],
)
def test_a_size_in_the_unit_of_its_source(unit, number, here):
    assert _in_unit(unit, 110_000_000, 1.1) == (pytest.approx(number), here)


@pytest.mark.parametrize(("said", "verdict"), [(110, HOLDS), (91, HOLDS), (89, FAILS), (111, FAILS)])
def test_a_published_size_holds_within_a_tenth(said, verdict):
    assert size_verdict(said, 100) == verdict


def test_what_was_said_of_xlnet_and_bart():
    by_name = {row.name: row for row in claims.family()}
    assert by_name["xlnet-base-cased"].verdict == by_name["xlnet-large-cased"].verdict == HOLDS
    assert (by_name["bart-base"].here, by_name["bart-large"].here) == ("27.3% more", "21.2% more")
    assert by_name["bart-base"].verdict == by_name["bart-large"].verdict == FAILS
    assert by_name["bart-base"].parts["decoder"] == 56_710_656


@pytest.mark.parametrize("said", [True, False])
def test_family_text_fits_a_terminal(said):
    rows = claims.family()
    text = claims.family_text(rows, said)
    assert max(map(len, text.splitlines())) <= 80
    assert "109,482,240" in text
    assert ("said: 110M" in text) == said
    if not said:
        assert len(text.splitlines()) == 2 + len(rows)


def test_the_parts_that_are_shown_make_up_the_whole():
    for row in claims.family():
        (line,) = [line for line in claims.family_text([row], claims=False).splitlines() if line.startswith(row.name)]
        shown = [float(cell) for cell in line.split()[2:-1] if cell != "–"]
        assert sum(shown) == pytest.approx(row.total / 1e6, abs=0.03)
        (row_of_table,) = [
            line for line in claims.family_markdown([row]).splitlines() if line.startswith(f"| {row.name}")
        ]
        cells = [cell.strip() for cell in row_of_table.split("|")[3:9]]
        assert sum(float(cell) for cell in cells if cell != "–") == pytest.approx(row.total / 1e6, abs=0.03)


# ------------------------------------------------------------------------------------------------ members

# Each model's layers, width and positions, as the papers give them.
NUMBERS = {
    "BERT": ("12", "768", "learned, up to 512", "WordPiece, 30,522", "[CLS] A [SEP]"),
    "RoBERTa": ("12", "768", "learned, up to 512", "byte-level BPE, 50,265", "<s> A </s>"),
    "DistilBERT": ("6", "768", "learned, up to 512", "WordPiece, 30,522", "[CLS] A [SEP]"),
    "ALBERT": ("12, from 1 block", "768, words 128", "learned, up to 512", "Unigram, 30,000", "[CLS] A [SEP]"),
    "MobileBERT": ("24", "512, words 128", "learned, up to 512", "WordPiece, 30,522", "[CLS] A [SEP]"),
    "XLNet": ("12", "768", "relative, any length", "Unigram, 32,000", "A <sep> <cls>"),
    "BART": ("6 + 6 (encoder + decoder)", "768", "learned, up to 1,024", "byte-level BPE, 50,265", "<s> A </s>"),
}


def test_there_is_one_row_for_each_family():
    types = [PRESETS[row.preset].model_type for row in claims.members()]
    assert sorted(types) == sorted(FAMILIES)
    assert [row.paper.name.lower() for row in claims.members()] == types


def test_the_numbers_of_a_row_are_those_of_the_model():
    for row in claims.members():
        shown = (row.layers, row.width, row.positions, row.pieces, row.template)
        assert shown == NUMBERS[row.paper.name]
        assert row.parameters == counted.PUBLISHED[row.preset]


def test_what_a_row_says_of_sentence_pairs_is_what_the_model_is_trained_on():
    for row in claims.members():
        named = {task for task in ("NSP", "SOP") if task in row.paper.learns}
        assert named == {PRESETS[row.preset].pair_task} - {None}


def test_the_words_of_the_rows_are_shown_whole_and_fit_a_terminal():
    rows = claims.members()
    text, table = claims.members_text(rows), claims.members_markdown(rows)
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    for row in rows:
        paper = row.paper
        for part in (paper.name, paper.changed, paper.learns, row.layers, row.width, row.positions, row.pieces,
                     row.template, f"{row.parameters:,}", f"{paper.authors} {paper.year}", row.preset):  # fmt: skip
            assert part in flat
            assert part in table
        assert f"https://arxiv.org/abs/{paper.arxiv}" in table


def test_a_member_counts_the_blocks_that_are_there():
    assert _layers(SimpleNamespace(blocks=[0, 1], order=(0, 0, 1, 1))) == "4, from 2 blocks"
    assert _layers(SimpleNamespace(blocks=[0, 1])) == "2"


def test_the_brief_table_has_a_short_line_for_each_claim(everything):
    lines = claims.brief_markdown(everything).splitlines()
    assert len([line for line in lines if line.startswith("| **")]) == len(LEDGER)
    assert max(map(len, lines)) <= 130
    assert all(0 < len(claim.short) <= 46 for claim in LEDGER.values())
    for result in everything:
        assert len(result.brief) <= 40
        assert result.brief or result.verdict == VERDICTS[-1], result.id


# ------------------------------------------------------------------------------------------------- README

BLOCKS = ("members", "family", "claims")
README = "# Über\r\n" + "\r\n".join(f"{b}\r\n<!-- {b}:begin -->old<!-- {b}:end -->\r\nafter {b}" for b in BLOCKS)


def test_a_readme_is_changed_between_its_markers_only(tmp_path, everything):
    path = tmp_path / "README.md"
    path.write_bytes(README.encode())
    assert claims.update_readme(path)
    text, file = path.read_bytes().decode(), path.stat().st_ino
    for block in (
        claims.members_markdown(claims.members()),
        claims.family_markdown(claims.family()),
        claims.brief_markdown(everything),
    ):
        assert f":begin -->\n\n{block}\n\n<!-- " in text  # without the empty lines it is no table
    assert fill_markers(text, dict.fromkeys(BLOCKS, "")) == fill_markers(README, dict.fromkeys(BLOCKS, ""))
    assert not claims.update_readme(path)
    assert path.read_bytes().decode() == text
    assert path.stat().st_ino == file  # not even written again


@pytest.mark.parametrize(
    "text",
    [
        README.replace("<!-- claims:end -->", ""),
        README.replace("<!-- family:begin -->", ""),
        README + "<!-- claims:begin -->",
        README + "<!-- claims:end -->",
        README.replace("<!-- claims:begin -->old<!-- claims:end -->", "<!-- claims:end -->old<!-- claims:begin -->"),
    ],
)
def test_a_readme_without_its_markers_stays_as_it_is(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_bytes(text.encode())
    with pytest.raises(MinibertError, match=r"<!-- (family|claims):begin -->"):
        claims.update_readme(path)
    assert path.read_bytes() == text.encode()


def test_a_missing_readme_is_named(tmp_path):
    with pytest.raises(MinibertError, match=r"missing\.md"):
        claims.update_readme(tmp_path / "missing.md")


def test_the_readme_is_in_step_with_the_ledger(tmp_path):
    if not (ROOT / "README.md").exists():
        pytest.skip("there is no README.md next to the tests")
    copy = tmp_path / "README.md"
    copy.write_bytes((ROOT / "README.md").read_bytes())
    assert not claims.update_readme(copy), "run: minibert claims --update-readme README.md"
