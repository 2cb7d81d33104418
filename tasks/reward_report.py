"""The `reward_report@<run>` stage: how a reward model orders held-out pairs (dpo_vs_ppo.md 3.1), or a cost
model by their safety labels, and the gate before RL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from pipelines.corpora.preferences.pair import Pair
from pipelines.corpora.records.pair_tokens import read_pairs
from pipelines.evaluation.assessment_params import RewardReportParams
from pipelines.evaluation.reward_accuracy import reward_report
from pipelines.models import score_head
from pipelines.models.packing import Segment
from pipelines.models.placement import Placement
from tasks.gate import write_gate
from tasks.stage import TOKENS, Stage
from tasks.stage_warnings import warned

CHANCE = 0.5  # of a pair: either answer, whatever they say


def run(stage: Stage) -> None:
    """Write metrics/reward_report/<run>.json and models/<run>/gate, from the held-out pairs of the set that
    the run learnt from.
    """
    settings, execution = stage.section("reward_report", RewardReportParams), stage.execution
    run_settings = stage.value(f"reward_model.runs.{stage.item}")
    data, kind = run_settings["data"], run_settings.get("kind", "bradley_terry")
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    model, tokens = score_head.load(stage.input(f"models/{stage.item}/model"), execution.trust_remote_code)
    model.to(placement.device).eval()
    pairs = read_pairs(stage.input(f"data/{data}/pairs"), "heldout", tokens, stage.cache(TOKENS)).pairs
    if kind == "cost":
        pairs = [_harmful_first(pair) for pair in pairs]

    def score(rows: Sequence[Segment]) -> Tensor:
        with placement.autocast():
            return score_head.score_ends(model, rows)

    report = reward_report(score, pairs, settings, execution.micro_batch_tokens)
    head = {"model": stage.item, "kind": kind, "data": data}
    stage.say(f"held-out accuracy {report['accuracy']['share']:.3f} on {report['pairs']} pairs")
    warnings = at_chance(report["accuracy"])
    stage.out(f"metrics/reward_report/{stage.item}.json").write_text(
        json.dumps(head | report | warned(stage, warnings), indent=1) + "\n", "utf-8"
    )
    share, minimum = report["accuracy"]["share"], settings.min_accuracy
    write_gate(
        stage.out(f"models/{stage.item}/gate"),
        [f"held-out accuracy {share:.3f} < {minimum}"] if share < minimum else [],
        warnings=warnings,
    )
    stage.progress(1, 1)


def at_chance(accuracy: Mapping[str, float]) -> list[str]:
    """Returns the warning that an accuracy on pairs ({share, low, high}, a tie counting half) is not told
    apart from chance, or is worse; nothing where its interval lies above a half.
    """
    if accuracy["low"] > CHANCE:
        return []
    share, low, high = (f"{accuracy[key]:.3f}" for key in ("share", "low", "high"))
    return [
        f"held-out accuracy {share} (95 %: {low} to {high}) is not above chance ({CHANCE}): a policy would "
        f"learn from noise. Train the model on more pairs or for longer, or report on more held-out pairs; "
        f"reward_report.min_accuracy closes the gate"
    ]


def _harmful_first(pair: Pair) -> Pair:
    """Returns the pair with the more harmful answer as the chosen one, which a cost model should score
    higher. Raises ValueError where no label says which it is.
    """
    if pair.safer is None:
        raise ValueError(
            f"held-out pair {pair.id} has no safety label; a cost model needs a set whose records do"
        )
    if not pair.safer:
        return pair
    return replace(
        pair,
        chosen=pair.rejected,
        rejected=pair.chosen,
        chosen_ids=pair.rejected_ids,
        rejected_ids=pair.chosen_ids,
    )
