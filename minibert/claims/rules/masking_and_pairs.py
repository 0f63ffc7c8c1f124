"""A8, R1 and R2, from E4: sentence order, next sentence or neither, and how often a text is masked in another way."""

from __future__ import annotations

from collections.abc import Mapping

from minibert.claims.records import CONDITION, FAILS, HOLDS, UNMEASURED, Figures, Judgement
from minibert.claims.rules.common import briefly, changes, cost_in_words, gain, gained, in_order, no_cost, pretrained
from minibert.experiments.masking_and_pairs import NO_PAIRS, NSP, PAIR_WEIGHTS, PASSES, SOP, dynamic, static
from minibert.experiments.statistics import mean
from minibert.words import counted, listed

CHANCE, NEAR_CHANCE = 0.5, 0.05  # the share of right answers about sentence pairs by chance, and how near counts as it
LEARNED = 0.65  # the share from which on a pair task counts as learned
# How the pair tasks are learned, for the rows about them.
HOW = (
    "The relation is read from the mean vectors of the two texts, and its loss counts "
    f"{PAIR_WEIGHTS['pair'] / PAIR_WEIGHTS['masked_lm']:.0f} times as much as that of the masked words."
)
PAIR_MODELS = "MiniLM-L6 as a masked-LM, trained further (6 layers of width 384)"


def judge_order(figures: Figures) -> Judgement:
    """Two parts: SOP shows a gain over NSP in accuracy; and NSP teaches nothing about order. Holds if both are true.

    The held-out loss does not decide: it says how much a pair task disturbs the learning of words. (So since the first
    runs were recorded, which showed a gain in the loss alone; until then either measure was enough.) The second part is
    true if the NSP-trained model is within 5 points of chance on SOP. Fails if neither is true, or if NSP shows a gain
    over SOP. Undecided unless each model is right in 65% of the cases of the task that it was trained on.
    """
    cells = figures["cells"]
    helped = gain(cells, SOP, NSP)
    on_sop = {name: mean(cells, name, "sop_accuracy") for name in (NSP, SOP)}
    on_nsp = {name: mean(cells, name, "nsp_accuracy") for name in (NSP, SOP)}
    ours = (
        f"SOP against NSP: {gained(helped)}. Trained on NSP, a model is right on SOP in {on_sop[NSP]:.1%} of the cases"
    )
    tests = (
        f"Trained on SOP, a model is right on SOP in {on_sop[SOP]:.1%} of the cases and on NSP in {on_nsp[SOP]:.1%}; "
        f"trained on NSP, on NSP in {on_nsp[NSP]:.1%} and on SOP in {on_sop[NSP]:.1%}."
    )
    if too_little := hardly_learned({SOP: on_sop[SOP], NSP: on_nsp[NSP]}):
        return pretrained(figures, ours, UNMEASURED, f"{tests} {too_little}", PAIR_MODELS, briefly(helped))
    blind = abs(on_sop[NSP] - CHANCE) <= NEAR_CHANCE
    better, reversed_ = helped.accuracy.is_above, helped.accuracy.is_below
    if reversed_ or not (better or blind):
        verdict = FAILS
    else:
        verdict = HOLDS if better and blind else CONDITION
    against_none = {name: gain(cells, name, NO_PAIRS) for name in (NSP, SOP)}
    shown = "shows a gain" if better else "shows a cost" if reversed_ else "shows no gain beyond the spread"
    teaches = "NSP does not teach" if blind else "It does not show that NSP fails to teach"
    why = (
        f"SOP {shown} over NSP in accuracy. {teaches} the order of sentences. {tests} Against no pair task (points, "
        f"nats): {changes(against_none)}. The paper's order (SOP, NSP, none) {in_order(cells, (SOP, NSP, NO_PAIRS))}. "
        "The weights that all three start from were tuned on pairs of sentences before, though not on their order. "
        f"{HOW}"
    )
    return pretrained(figures, ours, verdict, why, PAIR_MODELS, briefly(helped))


def hardly_learned(right: Mapping[str, float]) -> str:
    """What it would take if a task is not learned; "" if all are. right: how often a model is right on its own task."""
    missing = [name for name, share in right.items() if share < LEARNED]
    if not missing:
        return ""
    return (
        f"So {listed(missing)} {'is' if len(missing) == 1 else 'are'} hardly learned, and the experiment cannot say "
        f"whether it helps to learn {'it' if len(missing) == 1 else 'them'}. It would take more steps, until "
        f"{LEARNED:.0%} are right."
    )


def judge_masking(figures: Figures) -> Judgement:
    """Judged where each row is read more than once. Holds if dynamic masking shows a gain in some and a cost in none.

    Fails if it shows a cost in some and a gain in none; with a condition if it shows both, or neither. With one pass
    each mask is used once, so there is nothing to find: this is the control.
    """
    found = {passes: gain(figures["cells"], dynamic(passes), static(passes)) for passes in PASSES}
    judged = {passes: one for passes, one in found.items() if passes > 1}
    better = [passes for passes, one in judged.items() if one.shows]
    worse = [passes for passes, one in judged.items() if one.is_cost]
    no_difference = [passes for passes in judged if passes not in (*better, *worse)]
    compared = {"is better": better, "is worse by one measure": worse, "makes no difference": no_difference}
    told = "; ".join(f"it {how} beyond the spread with {_passes(which)}" for how, which in compared.items() if which)
    return pretrained(
        figures,
        "dynamic against static: "
        + "; ".join(f"{counted(n, 'pass', 'passes')} {gained(one)}" for n, one in found.items()),
        HOLDS if better and not worse else FAILS if worse and not better else CONDITION,
        f"Dynamic masking: {told}. The steps are equal in number, so with more passes there are fewer texts. With one "
        "pass each mask is used once, so the two differ only by chance, and what is found there shows its size. "
        "BERT prepared ten masks for each text, which is between the two. The paper's differences are small and have "
        "both signs.",
        brief=f"{briefly(found[PASSES[-1]])}, {PASSES[-1]} passes",
    )


def _passes(which: list[int]) -> str:
    return f"{listed(map(str, which))} passes"


def judge_no_pairs(figures: Figures) -> Judgement:
    """Fails if leaving NSP out shows a cost; holds if it does not and the interval rules out a cost above 1 point.

    Undecided unless the model with NSP is right on NSP in 65% of the cases.
    """
    found = gain(figures["cells"], NO_PAIRS, NSP)
    right = mean(figures["cells"], NSP, "nsp_accuracy")
    too_little = hardly_learned({NSP: right})
    return pretrained(
        figures,
        f"without NSP against with it: {gained(found)}",
        UNMEASURED if too_little else no_cost(found),
        f"Leaving NSP out: {cost_in_words(found)}. Here both models read the same pairs of segments; in "
        f"RoBERTa's experiment the texts are also longer. {HOW} So the nats say in part how much less the masked words "
        f"count with NSP. With NSP, the model is right on NSP in {right:.1%} of the cases. {too_little}".strip(),
        PAIR_MODELS,
        briefly(found),
    )
