"""A8, R1 and R2, from E4: sentence order, next sentence or neither, and how often a text is masked in another way."""

from __future__ import annotations

from minibert.claims.records import CONDITION, FAILS, HOLDS, UNMEASURED, Figures, Judgement
from minibert.claims.rules.common import changes, cost_in_words, gain, gained, no_cost, pretrained
from minibert.experiments.masking_and_pairs import DYNAMIC, NO_PAIRS, NSP, SOP, STATIC
from minibert.experiments.statistics import mean

CHANCE, NEAR_CHANCE = 0.5, 0.05  # the share of right answers about sentence pairs by chance, and how near counts as it


def judge_order(figures: Figures) -> Judgement:
    """Two parts: SOP shows a gain over NSP; and NSP teaches nothing about order, but SOP does. Holds if both are true.

    The second is true if the NSP-trained model is within 5 points of chance on SOP. Fails if neither is true, or if NSP
    shows a gain over SOP. Undecided if the SOP-trained model, too, is within 5 points of chance on SOP.
    """
    cells = figures["cells"]
    helped = gain(cells, SOP, NSP)
    on_sop = {name: mean(cells, name, "sop_accuracy") for name in (NSP, SOP)}
    nsp_on_nsp = mean(cells, NSP, "nsp_accuracy")
    ours = (
        f"SOP against NSP: {gained(helped)}. Trained on NSP, a model is right on SOP in {on_sop[NSP]:.1%} of the cases"
    )
    if abs(on_sop[SOP] - CHANCE) <= NEAR_CHANCE:
        return pretrained(
            figures,
            ours,
            UNMEASURED,
            f"Even a model trained on SOP is right on SOP in only {on_sop[SOP]:.1%} of the cases: in such a small "
            "experiment the order of sentences is not learned at all, so it cannot say which task helps. It would take "
            f"many more steps. Trained on NSP, a model is right on NSP in {nsp_on_nsp:.1%} of the cases.",
        )
    blind = abs(on_sop[NSP] - CHANCE) <= NEAR_CHANCE
    reversed_ = gain(cells, NSP, SOP).shows
    if reversed_ or not (helped.shows or blind):
        verdict = FAILS
    else:
        verdict = HOLDS if helped.shows and blind else CONDITION
    against_none = {name: gain(cells, name, NO_PAIRS) for name in (NSP, SOP)}
    shown = "shows a gain" if helped.shows else "shows a cost" if reversed_ else "shows no gain beyond the spread"
    teaches = "NSP does not teach" if blind else "It does not show that NSP fails to teach"
    return pretrained(
        figures,
        ours,
        verdict,
        f"SOP {shown} over NSP. {teaches} the order of sentences: trained on SOP, a model is right on SOP in "
        f"{on_sop[SOP]:.1%} of the cases; trained on NSP, on NSP in {nsp_on_nsp:.1%}. Against no pair task: "
        f"{changes(against_none)} (points of accuracy, nats of loss).",
    )


def judge_masking(figures: Figures) -> Judgement:
    """Holds if dynamic masking shows a gain, fails if it shows a cost; with a condition if it shows neither."""
    found = gain(figures["cells"], DYNAMIC, STATIC)
    compared = "is better" if found.shows else "is worse by one measure" if found.is_cost else "makes no difference"
    return pretrained(
        figures,
        f"dynamic against static: {gained(found)}",
        HOLDS if found.shows else FAILS if found.is_cost else CONDITION,
        f"Dynamic masking {compared} beyond the spread. Here there are few texts and each is read many times, so that "
        "static masks are soon memorised; with more text the difference should be smaller.",
    )


def judge_no_pairs(figures: Figures) -> Judgement:
    """Fails if leaving NSP out shows a cost; holds if it does not and the interval rules out a cost above 1 point."""
    found = gain(figures["cells"], NO_PAIRS, NSP)
    return pretrained(
        figures,
        f"without NSP against with it: {gained(found)}",
        no_cost(found),
        f"Leaving NSP out: {cost_in_words(found)}. Here both models read the same pairs of segments, and only the "
        "question about them is left out; in RoBERTa's experiment the texts are also longer.",
    )
