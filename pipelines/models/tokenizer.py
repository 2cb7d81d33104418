"""The tokenisation contract: one object that turns questions into prompt ids and ids into text, the same in
every stage.

It reads a Hugging Face fast-tokenizer folder plus `tokens.json` and travels with every model, so a model can
never be sampled with other ids than it was trained with. What ends a response (EOS, or the token that ends a
turn of a chat) is part of it; padding is never EOS. Needs only the `tokenizers` library: 20 ms, not 2 s.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipelines.models.chat import Chat, Loss, NotExact, Written
from pipelines.models.conversation import Conversation
from pipelines.models.template import Template

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokens.json",
)
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
REQUIRED = ("template", "template_digest", "vocab_size", "pad_id", "eos_id", "bos_id", "stop_ids")
CHAT = ("end_id", "chat")  # of a chat template; tokenizers without one do not hold them


@dataclass(frozen=True)
class Encoded:
    """A conversation as ids, and `spans`: the places [start, stop) among them that are learnt, each an
    assistant's turn with its end.
    """

    text: str
    ids: list[int]
    spans: list[tuple[int, int]]

    @property
    def prompt_ids(self) -> list[int]:
        """What stands before the last learnt turn; all of it where nothing is learnt."""
        return self.ids[: self.spans[-1][0]] if self.spans else self.ids

    @property
    def response_ids(self) -> list[int] | None:
        """The last learnt turn; what the template writes behind it is left out."""
        return self.ids[slice(*self.spans[-1])] if self.spans else None

    @property
    def earlier(self) -> list[list[int]]:
        """The learnt places in `prompt_ids`."""
        return [list(span) for span in self.spans[:-1]]


class Tokens:
    """Ids and template of one model; made by `pipelines.models.tokenizer_training`, read by everyone else.

    Ids are in [0, vocab_size). `stop_ids` holds EOS first; `end_id` is the one of them that ends a
    demonstration: EOS, but for a chat template whose turns end otherwise. `chat` is that template, None where
    the prompt is written out.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], tokenizer: Tokenizer):
        self.folder = folder
        self.facts = facts
        self.tokenizer = tokenizer
        self.template = Template(**facts["template"])
        self.vocab_size: int = facts["vocab_size"]
        self.pad_id: int = facts["pad_id"]
        self.eos_id: int = facts["eos_id"]
        self.bos_id: int | None = facts["bos_id"]
        self.stop_ids: list[int] = facts["stop_ids"]
        self.end_id: int = facts.get("end_id", self.eos_id)
        self.chat = Chat.from_json(facts["chat"], str(folder)) if facts.get("chat") else None

    @classmethod
    def load(cls, folder: str | Path) -> Tokens:
        """From a folder that `save` wrote, a tokenizer folder or a model folder. ValueError names the file
        and what is wrong with it.
        """
        folder = Path(folder)
        facts_file, tokenizer_file = folder / "tokens.json", folder / "tokenizer.json"
        for file in (facts_file, tokenizer_file):
            if not file.is_file():
                raise FileNotFoundError(
                    f"{file} is missing: {folder} holds no tokenizer of this pipeline; run the stage base "
                    f"again"
                )
        try:
            facts = json.loads(facts_file.read_text("utf-8"))
            tokens = cls(
                folder,
                {key: facts[key] for key in REQUIRED} | {key: facts[key] for key in CHAT if key in facts},
                read_tokenizer(tokenizer_file),
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{facts_file} is damaged ({error!r}); run the stage that made it again"
            ) from error
        tokens._check_ids()
        return tokens

    def _check_ids(self) -> None:
        where = self.folder / "tokens.json"
        if self.pad_id == self.eos_id:
            raise ValueError(
                f"{where}: pad_id equals eos_id ({self.pad_id}); the end of a response would be masked as "
                f"padding"
            )
        if self.facts["template_digest"] != self.template.digest:
            raise ValueError(
                f"{where}: template_digest {self.facts['template_digest']} is not that of its template, "
                f"{self.template.digest}"
            )
        known = [self.pad_id, *self.stop_ids] + ([] if self.bos_id is None else [self.bos_id])
        if not {self.eos_id, self.end_id} <= set(self.stop_ids) or not all(
            0 <= id < self.vocab_size for id in known
        ):
            raise ValueError(
                f"{where}: stop_ids must hold eos_id and end_id, and all ids lie in [0, {self.vocab_size})"
            )

    @cached_property
    def specials(self) -> dict[str, int]:
        """Special tokens by their text."""
        return {
            token.content: id
            for id, token in self.tokenizer.get_added_tokens_decoder().items()
            if token.special
        }

    @cached_property
    def _alphabet(self) -> frozenset[int] | None:
        """Bytes that have a token; None when every byte has one, or the tokenizer is not byte-level."""
        kind = json.loads(self.tokenizer.to_str())
        if (kind.get("decoder") or {}).get("type") != "ByteLevel" or kind["model"].get("byte_fallback"):
            return None
        known = frozenset(
            byte for symbol, byte in byte_symbols().items() if self.tokenizer.token_to_id(symbol) is not None
        )
        return None if len(known) == 256 else known

    @cached_property
    def _anchor(self) -> str:
        """What a response is encoded after. Sentencepiece-like tokenizers write a space before a text's first
        word: a response that was encoded alone would begin with a token that never follows a prompt. Empty
        for tokenizers without that habit.
        """
        pieces = self._ids("a") + self._ids("\nb c")
        return "" if pieces == self._ids("a\nb c") else self.template.after or "a"

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def reason_against(self, text: str) -> str | None:
        """Returns why `text` cannot be encoded faithfully, or None: it spells a special token, or has a
        character without a token.
        """
        if not text.isascii() and (lone := LONE_SURROGATE.search(text)):
            return f"holds half of a character (U+{ord(lone.group()):04X}), which no encoding has"
        for special in self.specials:
            if special in text:
                return f"contains the special token {special}"
        if self._alphabet is not None:
            for character in text:
                if not self._alphabet.issuperset(character.encode("utf-8", "replace")):
                    return (
                        f"character {character!r} (U+{ord(character):04X}) has no token here; set "
                        f"tokenizer.alphabet: bytes"
                    )
        return None

    def _check(self, text: str) -> None:
        reason = self.reason_against(text)
        if reason:
            raise ValueError(f"text {text[:60]!r} {reason}")

    def encode_prompt(self, text: str) -> list[int]:
        """Returns the ids of the question with the template around it. Raises ValueError when `text` spells a
        special token or cannot be encoded.
        """
        self._check(text)
        ids = self._ids(self.template.prompt(self._trimmed(text, 0)))
        return [self.bos_id, *ids] if self.template.bos and self.bos_id is not None else ids

    def encode_response(self, text: str) -> list[int]:
        """Returns the ids of a demonstration, with `end_id` at the end. Raises ValueError as `encode_prompt`
        does.
        """
        self._check(text)
        written = self.template.response(self._trimmed(text, 2))
        if self._anchor:
            start, ids = self._ids(self._anchor), self._ids(self._anchor + written)
            if ids[: len(start)] == start:
                return [*ids[len(start) :], self.end_id]
        return [*self._ids(written), self.end_id]

    def _trimmed(self, text: str, side: int) -> str:
        """As the chat template strips it at its start (`side`) and end (`side` + 1)."""
        if self.chat is None:
            return text
        left, right = self.chat.facts.trims[side : side + 2]
        text = text.lstrip() if left else text
        return text.rstrip() if right else text

    def encode_text(self, text: str) -> list[int]:
        """Returns the ids of the text alone, without a template and special tokens. Raises ValueError as
        `encode_prompt` does.
        """
        self._check(text)
        return self._ids(text)

    def encode_conversation(self, conversation: Conversation, loss: Loss = "last") -> Encoded:
        """Returns the ids of the turns as the chat template writes them. Raises ValueError as `encode_prompt`
        does, and where the template refuses them or does not mark the assistant's tokens. It needs a chat
        template.
        """
        if self.chat is None:
            raise ValueError("template.chat is false: a conversation needs a chat template")
        for text in conversation.texts:
            self._check(text)
            if self.chat.facts.end in text:
                raise ValueError(f"text {text[:60]!r} contains {self.chat.facts.end}, which ends a turn")
        return self.encode_written(self.chat.write(conversation, loss))

    def encode_written(self, written: Written) -> Encoded:
        """Returns the ids of a text that a chat template wrote, and which of them are trained on. Raises
        NotExact where a token crosses the border of a turn.
        """
        ids: list[int] = []
        places = {0: 0}
        start = 0
        for stop in [*(cut for cut in written.cuts if 0 < cut < len(written.text)), len(written.text)]:
            # such a tokenizer writes a space before a text's first word: pieces cannot be encoded alone
            if self._anchor:
                text_ids = self._ids(written.text[:stop])
                if text_ids[: len(ids)] != ids:
                    raise NotExact(
                        f"the tokenizer makes one token of both sides of "
                        f"{written.text[max(0, start - 10) : start + 10]!r}"
                    )
                ids = text_ids
            else:
                ids += self._ids(written.text[start:stop])
            places[stop] = len(ids)
            start = stop
        return Encoded(written.text, ids, [(places[first], places[last]) for first, last in written.learnt])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of response ids, special tokens left out; the inverse of `encode_response` up to the
        template's own lead and tail.
        """
        if self.end_id != self.eos_id and len(ids) and ids[-1] == self.end_id:
            ids = ids[:-1]  # not every tokenizer calls it special
        if not self._anchor:
            return self.tokenizer.decode(list(ids), skip_special_tokens=True)
        start = self._ids(self._anchor)
        head = self.tokenizer.decode(start, skip_special_tokens=True)
        return self.tokenizer.decode(start + list(ids), skip_special_tokens=True)[len(head) :]

    def decode_batch(self, rows: Iterable[Sequence[int]]) -> list[str]:
        return [self.decode(ids) for ids in rows]

    @cached_property
    def digest(self) -> str:
        """sha256 over tokens.json's facts and the tokenizer's own state, 16 hexadecimal digits."""
        text = json.dumps(self.facts, sort_keys=True, ensure_ascii=False) + self.tokenizer.to_str()
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def save(self, folder: str | Path) -> None:
        """Copy the contract into `folder` (a model's, say), file by file."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in TOKENIZER_FILES:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, folder / name)

    def check_same(self, other: Tokens, where: str) -> None:
        """ValueError naming both folders and what differs, unless both encode alike. `where`: who asks."""
        if self.digest == other.digest:
            return
        both = ((key, self.facts.get(key), other.facts.get(key)) for key in (*REQUIRED, *CHAT))
        different = [
            f"{key} {own!r:.200} against {others!r:.200}" for key, own, others in both if own != others
        ]
        difference = "; ".join(different) or "the vocabulary or merges"
        raise ValueError(
            f"{where}: {self.folder} and {other.folder} hold different tokenizers: {difference}. Build the "
            f"later one again"
        )


def read_tokenizer(path: Path) -> Tokenizer:
    """Returns a tokenizer.json. Raises ValueError, which names the file, where it cannot be read."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for a file that it cannot read
        raise ValueError(
            f"{path} is cut short or damaged ({error}); restore it or run the stage that made it again"
        ) from error


def byte_symbols() -> dict[str, int]:
    """Returns the printable character that byte-level tokenizers use for each byte (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


def facts_of(
    template: Template,
    vocab_size: int,
    pad_id: int,
    eos_id: int,
    bos_id: int | None,
    stop_ids: list[int],
    chat: Chat | None = None,
    end_id: int | None = None,
) -> dict[str, Any]:
    """Returns the content of tokens.json; `chat` and `end_id` only with a chat template."""
    return {
        "template": asdict(template),
        "template_digest": template.digest,
        "vocab_size": vocab_size,
        "pad_id": pad_id,
        "eos_id": eos_id,
        "bos_id": bos_id,
        "stop_ids": stop_ids,
        **({} if chat is None else {"end_id": end_id, "chat": chat.as_json()}),
    }
