"""The `sft@<run>` stage: supervised fine-tuning of a model on a set's demonstrations.

The demonstrations are those of a corpus, or of preferences: there the answers that are labelled safe
(SafeSFT, dpo_vs_ppo.md 2: every prompt with every safe answer, before the set's filters, which apply to
pairs), else the chosen ones.
"""

from __future__ import annotations

from pipelines.corpora.records.tokenised import DEMONSTRATIONS, read_tokenised
from pipelines.models import policy
from pipelines.training.supervised import Demonstrations
from tasks.fine_tuning import fine_tune, publish
from tasks.sft_params import SftRun
from tasks.stage import TOKENS, Stage
from tasks.training_run import TrainingRun


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    settings = stage.settings(SftRun)
    records = stage.input(f"data/{settings.data}/records")
    training = TrainingRun(stage, stage.item)
    model, tokens = policy.load(
        stage.input(f"models/{settings.start}/model"), trust_remote_code=stage.execution.trust_remote_code
    )
    demonstrations = read_tokenised(records, DEMONSTRATIONS, tokens, stage.cache(TOKENS))
    if not demonstrations.read:
        raise ValueError(
            f"{records}/sft.jsonl holds no demonstration; of preferences with safety labels only the answers "
            f"that are labelled safe are learnt"
        )
    longest = min(settings.max_tokens, policy.context_size(model))
    data = Demonstrations(demonstrations.records, longest)
    held_out = (
        Demonstrations(read_tokenised(records, "validation", tokens, stage.cache(TOKENS)).records, longest)
        if settings.validation_every
        else None
    )
    engine = fine_tune(training, model, data, held_out, settings)
    publish(training, engine, tokens, data, settings, {}, demonstrations.left_out)
