"""How exam questions are cut into shingles: runs of words, and runs of characters where the text is Chinese
or Japanese.

Words fail on text without spaces: a Chinese sentence would be one word, and its near-duplicates would share
none.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.corpora.cleaning.near import Sketcher


@dataclass(frozen=True)
class Shingling:
    """Lengths of the runs, in `words` and `characters`, and of a MinHash signature (`permutations`)."""

    words: int
    characters: int
    permutations: int

    def sketcher(self, threshold: float) -> Sketcher:
        """Returns a sketcher that finds texts with at least this Jaccard similarity of shingles."""
        return Sketcher(threshold, self.words, self.permutations, self.characters)
