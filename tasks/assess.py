"""The `assess@<model>` stage: sampled answers to held-out prompts are judged and compared with those of a
reference (dpo_vs_ppo.md 7).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from pipelines.corpora.records.pair_tokens import read_pairs
from pipelines.corpora.records.tokenised import read_tokenised
from pipelines.evaluation.answers import evenly_spaced
from pipelines.evaluation.assess import Graders, Policy, assess
from pipelines.evaluation.assessment_params import AssessParams
from pipelines.models import policy, score_head
from pipelines.models.packing import Segment
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.reward_params import JUDGE
from pipelines.seams import load
from tasks.assess_params import AssessedModel, GraderParams
from tasks.judges import make_judge
from tasks.sampler import make_sampler
from tasks.stage import TOKENS, Stage


def run(stage: Stage) -> None:
    """Write metrics/assess/<model>.json and samples/assess/<model>.jsonl."""
    settings, execution = stage.section("assess.settings", AssessParams), stage.execution
    graders = stage.section("assess.graders", GraderParams)
    assessed_params = stage.section(f"assess.models.{stage.item}", AssessedModel)
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    assessed, tokens = _policy(stage, stage.item, placement)
    reference, reference_tokens = _policy(stage, assessed_params.reference, placement)
    tokens.check_same(reference_tokens, f"models/{assessed_params.reference}/model")
    heldout = read_tokenised(
        stage.input(f"data/{assessed_params.prompts}/records"), "heldout", tokens, stage.cache(TOKENS)
    )
    problems = evenly_spaced(heldout.records, settings.problems)
    if not problems:
        raise ValueError(
            f"data/{assessed_params.prompts}/records/heldout.jsonl holds no prompt to assess on; set the "
            f"corpus's heldout_share"
        )
    pairs = read_pairs(
        stage.input(f"data/{assessed_params.data}/pairs"), "heldout", tokens, stage.cache(TOKENS)
    ).pairs
    judges = _graders(stage, graders, tokens, placement, heldout.rules.reward)
    stage.progress(1, 3, prompts=len(problems))
    result = assess(
        assessed,
        reference,
        tokens,
        problems,
        judges,
        pairs,
        settings,
        stage.seed,
        execution.micro_batch_tokens,
    )
    head: dict[str, Any] = {
        "model": stage.item,
        "reference": assessed_params.reference,
        "data": assessed_params.data,
        "corpus": assessed_params.prompts,
    }
    head |= {"graders": graders.model_dump(mode="json"), "settings": settings.model_dump(mode="json")}
    stage.out(f"metrics/assess/{stage.item}.json").write_text(
        json.dumps(head | result.figures, indent=1) + "\n", "utf-8"
    )
    with open(stage.out(f"samples/assess/{stage.item}.jsonl"), "w", encoding="utf-8") as stream:
        for row in result.rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    stage.progress(3, 3)


def _policy(stage: Stage, name: str, placement: Placement) -> tuple[Policy, Tokens]:
    model, tokens = policy.load(
        stage.input(f"models/{name}/model"), trust_remote_code=stage.execution.trust_remote_code
    )
    model.to(placement.device).eval()
    return Policy(model, make_sampler(model, tokens, placement, stage.execution)), tokens


def _graders(
    stage: Stage, graders: GraderParams, tokens: Tokens, placement: Placement, corpus_checker: str | None
) -> Graders:
    """Returns the rules and models that judge. Raises ValueError where the corpus names another checker, or a
    model has another tokenizer.
    """
    if graders.checker is not None and corpus_checker not in (None, graders.checker):
        raise ValueError(
            f"the corpus names the checker {corpus_checker}, assess.graders.checker is {graders.checker}; "
            f"make them equal"
        )
    scorer = partial(_scorer, stage, tokens, placement)
    return Graders(
        judge=make_judge(stage, JUDGE.choose(graders.checker), tokens, placement)
        if graders.checker
        else None,
        reward=scorer(graders.reward_model),
        cost=scorer(graders.cost_model) if graders.cost_model != graders.reward_model else None,
        is_safe=partial(load("pipelines.rewards", graders.rule.kind).is_safe, options=graders.rule)
        if graders.rule
        else None,
    )


def _scorer(
    stage: Stage, tokens: Tokens, placement: Placement, name: str
) -> Callable[[Sequence[Segment]], Tensor]:
    folder: Path = stage.input(f"models/{name}/model")
    model, model_tokens = score_head.load(folder, stage.execution.trust_remote_code)
    model_tokens.check_same(tokens, str(folder))
    model.to(placement.device).eval()

    def score(rows: Sequence[Segment]) -> Any:
        with placement.autocast():
            return score_head.score_ends(model, rows)

    return score
