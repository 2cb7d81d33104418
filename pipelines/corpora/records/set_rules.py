"""The rules of a set for those who tokenise its texts: token limits, how many texts may be unusable, and the
exact checker of its answers. They are stored beside the rows as set.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass

from pipelines.corpora.records.json_lines import STRICT, first_fault

FILE = "set.json"
Tokens = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class SetRules:
    """Limits are in tokens of the model that reads the set: `max_response_tokens` of one answer, its end
    included, `max_tokens` of prompt and answer together (None: their sum). `max_bad_rows`: share of texts, 0
    to 1, that may be impossible to tokenise. `reward`: the checker of the answers, None where they have none.
    `answers`: the reference answers must be encodable too, since judging models are shown them.
    """

    max_prompt_tokens: Tokens
    max_response_tokens: Tokens
    max_tokens: Tokens | None = None
    max_bad_rows: float = 0.01
    reward: str | None = None
    answers: bool = False

    def write(self, folder: Path) -> None:
        """Writes set.json into `folder`."""
        (folder / FILE).write_text(json.dumps(self.__dict__, indent=1, sort_keys=True) + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads set.json of `folder`. Raises FileNotFoundError, or ValueError where it is damaged; both name
        the file.
        """
        path = folder / FILE
        try:
            return cls(**json.loads(path.read_bytes()))
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} is missing: {folder} holds no set of this pipeline; run the stage that makes it"
            ) from None
        except ValidationError as error:
            fault = first_fault(error)
        except (ValueError, TypeError) as error:
            fault = str(error)
        raise ValueError(f"{path} is damaged ({fault}); run the stage that made it again")
