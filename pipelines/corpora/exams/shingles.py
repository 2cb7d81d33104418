"""How exam questions are cut into shingles: runs of words, and runs of characters where the text is Chinese
or Japanese.

Words fail on text without blanks: a Chinese sentence would be one word, and near-duplicates of it would share
none.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.corpora.cleaning.near import Sketcher


@dataclass(frozen=True)
class Shingling:
    """Sizes of the runs and of a MinHash signature."""

    words: int
    characters: int
    permutations: int

    def sketcher(self, threshold: float) -> Sketcher:
        """For the search of texts whose shingles are at least that similar."""
        return Sketcher(threshold, self.words, self.permutations, self.characters)
