"""Settings of HOW a stage runs: device, threads, micro-batches, periods. No stage depends on them, and they
do not change results.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from pipelines.settings import Settings


def is_address(url: str) -> bool:
    """Returns whether a text is an http or https address that can be asked."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class NotifyParams(Settings):
    """Whom the end of a run is told: a command, an address, or both."""

    command: str | None = Field(
        None,
        min_length=1,
        description="shell command; the run's record comes on standard input, as JSON",
    )
    url: str | None = Field(None, description="http or https address that gets the record in a POST")
    url_variable: str | None = Field(
        None,
        min_length=1,
        description=(
            "environment variable that holds the address, where it is secret (a webhook's path): it then "
            "stands in no file"
        ),
    )
    timeout_s: float = Field(10, gt=0, le=300, description="limit for each of them, seconds")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.url is not None:
            if self.url_variable:
                raise ValueError("url and url_variable exclude each other")
            if not is_address(self.url):
                raise ValueError("url is no http or https address")
            if "@" in urlsplit(self.url).netloc:
                raise ValueError("url holds credentials; name an environment variable in url_variable")
        return self


class ExecutionParams(Settings):
    """The `execution` section of params.yaml."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU when there is one")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU, float32 on a CPU"
    )
    liger: bool = Field(
        False, description="train with Liger's fused kernels, on a GPU and where liger-kernel is installed"
    )
    threads: int = Field(0, ge=0, description="intra-op threads of torch; 0 leaves torch's own choice")
    processes: int = Field(
        1, ge=1, description="processes that train one model together; on a GPU machine one GPU each"
    )
    zero_stage: int = Field(
        0,
        ge=0,
        le=3,
        description=(
            "what several processes divide among them: 1 optimiser states, 2 gradients too, 3 weights too"
        ),
    )
    offload: Literal["none", "optimiser", "all"] = Field(
        "none",
        description=(
            "with several processes, what lies in the host's memory: optimiser states, or all (zero_stage 3) "
            "weights too"
        ),
    )
    jobs: int = Field(2, ge=1, description="stages that may run at once")
    gpus: int = Field(
        0,
        ge=0,
        description="GPU slots of this machine; a stage with meta.gpu waits for as many. 0: there is no GPU",
    )
    cpu_slots: int = Field(
        1,
        ge=1,
        description=(
            "stages with meta.gpu that may run at once where gpus is 0; torch uses all cores for each"
        ),
    )
    micro_batch_tokens: int = Field(
        16384, ge=1, description="tokens per forward and backward pass, padding included"
    )
    sampler: Literal["local", "vllm"] = Field(
        "local",
        description=(
            "vllm needs an installation of it (`make test-vllm` shows one); it draws the same samples up to "
            "rounding"
        ),
    )
    sample_batch: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto",
        description=(
            "sequences that are sampled at once; auto: as many as the free memory holds, 1024 at most"
        ),
    )
    log_period_s: float = Field(1.0, ge=0, description="seconds between progress lines")
    checkpoint_period_s: float = Field(
        30.0, ge=0, description="seconds between resumable checkpoints of a training stage"
    )
    offline: bool = Field(
        True, description="fetch nothing, neither from the Hugging Face hub nor public sets"
    )
    data_mirror: str | None = Field(
        None,
        min_length=1,
        description=(
            "folder of this machine that holds the bytes of public data sets (`whetstone fetch`), so that "
            "none is fetched; the variable WHETSTONE_DATA comes before it"
        ),
    )
    timeout_s: float = Field(
        0, ge=0, description="limit for one stage's command, seconds; 0 none; meta.timeout of a stage wins"
    )
    grace_s: float = Field(
        10, ge=0, description="seconds between SIGTERM and SIGKILL when a stage is stopped"
    )
    retries: int = Field(
        0, ge=0, description="how often a failed stage is tried again; meta.retries of a stage wins"
    )
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        (),
        description=(
            "what gets the curves beside MLflow, each where its package is installed; wandb stays on this "
            "machine while offline is true, and WANDB_MODE says otherwise"
        ),
    )
    notify: NotifyParams = NotifyParams()
    trust_remote_code: bool = Field(False, description="let Hugging Face repositories run their own code")

    def of_stages(self) -> dict[str, Any]:
        """Returns what stages are given: an address to tell may be secret, and is none of their business."""
        return self.model_dump(exclude={"trackers", "notify"})

    @property
    def sequences(self) -> int | None:
        """Sequences that are sampled at once; None: as many as fit into memory."""
        return None if self.sample_batch == "auto" else self.sample_batch

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.sampler == "vllm" and self.processes > 1:
            raise ValueError("sampler vllm works in one process: set processes to 1, or sampler to local")
        return self
