"""Settings of HOW a stage runs: device, threads, micro-batches, periods. No stage depends on them, and they do not change results."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Settings


class ExecutionParams(Settings):
    """The `execution` section of params.yaml."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU when there is one")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 on a GPU, float32 on a CPU")
    threads: int = Field(0, ge=0, description="intra-op threads of torch; 0 leaves torch's own choice")
    jobs: int = Field(2, ge=1, description="stages that may run at once")
    gpus: int = Field(0, ge=0, description="GPU slots of this machine; a stage with meta.gpu waits for as many. 0: there is no GPU")
    cpu_slots: int = Field(1, ge=1, description="stages with meta.gpu that may run at once where gpus is 0; torch uses all cores for each")
    micro_batch_tokens: int = Field(16384, ge=1, description="tokens per forward and backward pass, padding included")
    sample_batch: int = Field(1024, ge=1, description="sequences that are sampled at once")
    log_period_s: float = Field(1.0, ge=0, description="seconds between progress lines")
    checkpoint_period_s: float = Field(30.0, ge=0, description="seconds between resumable checkpoints of a training stage")
    offline: bool = Field(True, description="do not try the Hugging Face hub")
    timeout_s: float = Field(0, ge=0, description="limit for one stage's command, seconds; 0 none; meta.timeout of a stage wins")
    grace_s: float = Field(10, ge=0, description="seconds between SIGTERM and SIGKILL when a stage is stopped")
    retries: int = Field(0, ge=0, description="how often a failed stage is tried again; meta.retries of a stage wins")
    trust_remote_code: bool = Field(False, description="let Hugging Face repositories run their own code")
