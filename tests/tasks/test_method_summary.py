"""Every preset of params.yaml says in words what stands at its seams."""

from __future__ import annotations

from pathlib import Path

from flows.graph.params import load
from tasks.method_summary import in_words

ROOT = Path(__file__).parent.parent.parent


def test_presets_in_words():
    presets = load(ROOT).rl.presets
    words = {name: in_words(settings) for name, settings in presets.items()}
    assert len({tuple(row.values()) for row in words.values()}) == len(presets)  # no two presets read alike
    assert all(row["sampler"].startswith(presets[name].sampler.kind) for name, row in words.items())
    tree, ppo = words["spo_tree"], words["ppo"]
    assert (tree["sampler"], tree["mask"], tree["KL"]) == (
        "tree, branching 4-3-2, segment 6",
        "probability, below 0.9",
        "none",
    )
    assert "replay" in tree["also"]
    assert (ppo["KL"], ppo["updates"]) == ("reward, 0.02 k1, reference moves by 0.01", "4")
    assert "dynamic sampling" in words["dapo"]["also"]
