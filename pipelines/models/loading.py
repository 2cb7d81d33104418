"""Load a transformers model strictly: every tensor that it needs, none that it does not know, in the right
shape and finite.

transformers fills what a file lacks with random numbers and warns; here that is an error which names the
tensors and their files. Weights are read from safetensors or GGUF only: other formats can run code when they
are opened.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pipelines.sources.opening import OpenedSource

NAMED_AT_MOST = 8  # tensors of one kind in a message


def load_model(
    auto: Any, source: OpenedSource, dtype: torch.dtype = torch.float32, trust_remote_code: bool = False
) -> Any:
    """`auto` is a transformers Auto class. Raises ValueError or FileNotFoundError naming the file or the
    tensors that are wrong.
    """
    from safetensors import SafetensorError
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    _check_files(source)
    options = {**source.options, "trust_remote_code": trust_remote_code, "dtype": dtype}
    if source.gguf is None:
        options["use_safetensors"] = True
    try:
        with _without_warnings():  # about what is an error below
            model, report = auto.from_pretrained(
                source.folder, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except SafetensorError as error:
        raise ValueError(
            f"{source.shown}: the weights cannot be read ({error}); a file is cut short or damaged: restore "
            f"it or run its stage again"
        ) from error
    except ImportError as error:
        raise _reader_missing(error, source) from error
    except Exception as error:  # of a damaged file each reader raises its own kinds
        raise ValueError(
            f"no model could be loaded from {source.shown}: {_first_line(error, source)}"
        ) from error
    _check_report(report, source)
    check_finite(model, source)
    return model


@contextmanager
def _without_warnings() -> Iterator[None]:
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def load_tokenizer(source: OpenedSource, trust_remote_code: bool = False, **options: Any) -> Any:
    """Returns the fast tokenizer of a model. Raises ValueError, which names the damaged file."""
    from transformers import AutoTokenizer

    _check_texts(source)
    try:
        loaded = AutoTokenizer.from_pretrained(
            source.folder, trust_remote_code=trust_remote_code, **source.options, **options
        )
        return _with_its_own_tokens(loaded, source)
    except ImportError as error:
        raise _reader_missing(error, source) from error
    except Exception as error:  # the tokenizers library raises plain Exception for a file that it cannot read
        raise ValueError(
            f"no tokenizer could be loaded from {source.shown}: {_first_line(error, source)}"
        ) from error


def _with_its_own_tokens(loaded: Any, source: OpenedSource) -> Any:
    """transformers adds the default special tokens of a model's family where the files have none of that
    name: ids that the model has no row for. They are taken out again.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:  # a slow tokenizer, which is refused elsewhere
        return loaded
    size, added = backend.get_vocab_size(with_added_tokens=False), loaded.get_added_vocab()
    own = set() if source.gguf is not None else _tokens_of_files(source.folder)
    foreign = {text for text, id in added.items() if id >= size and text not in own}
    if not foreign:
        return loaded
    raw = json.loads(backend.to_str())
    raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] not in foreign]
    names = {name: text for name, text in loaded.special_tokens_map.items() if text not in foreign}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(raw)), padding_side=loaded.padding_side, **names
    )
    tokenizer.chat_template = loaded.chat_template
    return tokenizer


def _tokens_of_files(folder: Path) -> set[str]:
    """Returns the texts of all added and special tokens that a tokenizer's files name."""
    texts: set[str] = set()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        path = folder / name
        if path.is_file():
            content = json.loads(path.read_text("utf-8"))
            content = {"added_tokens": content["added_tokens"]} if "added_tokens" in content else content
            texts |= _texts(content)
    return texts


def _texts(value: Any) -> set[str]:
    """Returns the texts in a JSON value, keys included, at any depth."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set(value) | {text for item in value.values() for text in _texts(item)}
    if isinstance(value, list):
        return {text for item in value for text in _texts(item)}
    return set()


def _reader_missing(error: ImportError, source: OpenedSource) -> ValueError:
    """.gguf files are read with a package that transformers does not bring."""
    hint = "; install it with pip install gguf" if source.gguf is not None else ""
    return ValueError(
        f"{source.shown} needs a package that is not installed: {_first_line(error, source)}{hint}"
    )


def _check_files(source: OpenedSource) -> None:
    """What can be said before the library is asked, in words that name the file."""
    _check_texts(source)
    if source.gguf is not None:
        return
    if not list(source.folder.glob("*.safetensors")):
        raise ValueError(
            f"{source.shown} holds no *.safetensors file; other weight formats can run code when they are "
            f"opened and are refused"
        )
    if not (source.folder / "config.json").is_file():
        raise ValueError(f"{source.shown} holds no config.json: it is no model folder of transformers")
    for path in sorted(source.folder.glob("*.safetensors")):
        _tensors_of(path, source)


def _check_texts(source: OpenedSource) -> None:
    for path in sorted(source.folder.glob("*.json")):
        try:
            json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ValueError(
                f"{source.shown}/{path.name} is a link to nothing; bring the file back"
            ) from None
        except ValueError as error:
            raise ValueError(
                f"{source.shown}/{path.name} is cut short or damaged ({error}); restore it"
            ) from error


def _tensors_of(path: Path, source: OpenedSource) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            return list(file.keys())
    except SafetensorError as error:
        raise ValueError(
            f"{source.shown}/{path.name}: the weights cannot be read ({error}); the file is cut short or "
            f"damaged: "
            "restore it or run its stage again"
        ) from error
    except OSError as error:
        raise ValueError(f"{source.shown}/{path.name} cannot be opened: {error.strerror or error}") from error


def _check_report(report: Mapping[str, Any], source: OpenedSource) -> None:
    """`report`: transformers' own account of the loading, which knows tied weights."""
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    mismatched = sorted((name, tuple(file), tuple(model)) for name, file, model in report["mismatched_keys"])
    faults = []
    if missing:
        faults.append(f"no weights for {_listed(missing)} (in {_weight_files(source)})")
    if mismatched:
        shapes = (
            f"{name} {list(file)} where {list(model)} is needed{_in_file(name, source)}"
            for name, file, model in mismatched
        )
        faults.append(f"weights of another shape: {_listed(shapes)}")
    if unexpected:
        faults.append(
            f"weights that the model does not have: "
            f"{_listed(name + _in_file(name, source) for name in unexpected)}"
        )
    if faults or report.get("error_msgs"):
        raise ValueError(
            f"{source.shown} does not hold the model that its config.json describes: "
            f"{'; '.join(faults) or report['error_msgs'][0]}. "
            "Fetch the files again, or correct config.json"
        )


def check_finite(model: Any, source: OpenedSource) -> None:
    """ValueError that names the tensors which hold NaN or infinity, and their file."""
    damaged = [
        f"{name}{_in_file(name, source)}"
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if damaged:
        raise ValueError(
            f"{source.shown} has weights that are NaN or infinite: {_listed(damaged)}; the file is damaged, "
            f"or training diverged"
        )


def _weight_files(source: OpenedSource) -> str:
    return source.gguf or ", ".join(
        path.name for path in sorted(source.folder.glob("*.safetensors"))[:NAMED_AT_MOST]
    )


def _in_file(tensor: str, source: OpenedSource) -> str:
    """` (in FILE)` where a safetensors file holds a tensor of that name."""
    for path in sorted(source.folder.glob("*.safetensors")):
        if tensor in _tensors_of(path, source):
            return f" (in {path.name})"
    return ""


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:NAMED_AT_MOST]) + (
        f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    )


def _first_line(error: BaseException, source: OpenedSource) -> str:
    text = str(error).replace(str(source.folder), source.shown).strip()
    return text.splitlines()[0] if text else type(error).__name__
