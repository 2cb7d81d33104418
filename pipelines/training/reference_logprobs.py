"""The reference's log-probs of both answers of every pair: computed once, float32, kept with a digest of the
pairs they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipelines.models.packing import Segment, can_share, score_rows
from pipelines.models.placement import Placement
from pipelines.training.preference_data import AnswerPair, PairBatches, PairData
from pipelines.training.ranks import Ranks


def pair_logprobs(model: Any, pairs: Sequence[AnswerPair]) -> Tensor:
    """Returns (n, 2) with gradient: log pi of each pair's first and second answer, summed over its tokens
    with EOS and without the prompt.

    One forward, in it each prompt once and, of answers that begin alike, the beginning once (dpo_vs_ppo.md
    4.1, 9.1.1 to 9.1.3).
    """
    shared = can_share(model)
    rows = [row for pair in pairs for row in pair.rows(shared)]
    stems = {index: stem for index, pair in enumerate(pairs) if shared and (stem := pair.shared_prefix())}
    rows += [Segment((pairs[index].prompt,), stem) for index, stem in stems.items()]
    parts = score_rows(model, rows, 1.0, False).logprobs.split([len(row.ids) for row in rows])
    sums = pad_sequence(parts, batch_first=True).sum(1)
    endings = sums[: 2 * len(pairs)].view(-1, 2)
    if not stems:
        return endings
    beginnings = torch.zeros_like(endings[:, 0]).index_put(
        (torch.tensor(list(stems), device=sums.device),), sums[2 * len(pairs) :]
    )
    return endings + beginnings[:, None]


def reference_logprobs(
    model: Any, data: PairData, placement: Placement, budget: int, ranks: Ranks = Ranks.single()
) -> Tensor:
    """Returns (N, 2) float32 on the CPU: `pair_logprobs` of all pairs of `data` in order, on every rank.
    `budget`: tokens per forward pass.

    The forward has the policy's precision, so that the loss of a policy that still is its reference is that
    of margin 0.
    """
    logprobs_by_index: list[tuple[int, list[float]]] = []
    for group, counts in PairBatches(budget, ranks, can_share(model)).micro_batches(data.pairs):
        if counts:
            with torch.no_grad(), placement.autocast():
                values = pair_logprobs(model, [data.pairs[index] for index in group])
            logprobs_by_index.extend(zip(group, values.float().cpu().tolist(), strict=True))
    by_pair = dict(ranks.all_gather(logprobs_by_index))
    return _checked(torch.tensor([by_pair[index] for index in range(len(data))], dtype=torch.float32), data)


def save_reference(path: str | Path, logprobs: Tensor, data: PairData) -> None:
    """Write `logprobs` (N, 2) of `data` as safetensors, with the digest of its pairs."""
    from safetensors.torch import save_file

    # one key: safetensors orders several by chance
    save_file({"logprobs": logprobs.contiguous()}, str(path), {"digest": data.digest})


def load_reference(path: str | Path, data: PairData) -> Tensor:
    """Returns what `save_reference` wrote, (N, 2) float32. Raises ValueError, which names the file and the
    pairs, where it does not belong to `data`.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path} is missing: the reference's log-probs of {data.where}; run the reference stage"
        )
    try:
        with safe_open(str(path), "pt") as file:
            facts, logprobs = file.metadata() or {}, file.get_tensor("logprobs")
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); run the reference stage again") from error
    if facts.get("digest") != data.digest or logprobs.shape != (len(data), 2):
        raise ValueError(
            f"{path} holds log-probs of {len(logprobs)} pairs with digest {facts.get('digest')}, but "
            f"{data.where} gives {len(data)} "
            f"with digest {data.digest}: the pairs or max_tokens have changed; run the reference stage again"
        )
    return _checked(logprobs, data)


def _checked(logprobs: Tensor, data: PairData) -> Tensor:
    bad = (~logprobs.isfinite()).any(1).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"{data.where}: the reference gives pair {data.pairs[bad[0]].id} log-probs of "
            f"{logprobs[bad[0]].tolist()}"
        )
    return logprobs
