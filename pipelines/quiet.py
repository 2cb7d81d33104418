"""Nothing that Whetstone starts calls home or waits for a network: every entry point calls `quiet()` before
it imports a library.

Each name was found by looking at what the library reads; an explicit setting of the user wins.
"""

import os

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",  # DVC ignores DO_NOT_TRACK
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Not about quiet, but read before torch is imported too: GNU OpenMP spins for seconds by default, and a
    # stage that shares its cores with another process ran 5-10 times slower for it. At 10,000 spins it is as
    # fast alone and hardly slower in company (docs/decisions/0009-bounded-openmp-spinning.md).
    "GOMP_SPINCOUNT": "10000",
    # Large tensors lie in huge pages where the kernel offers them on request: caches of keys and values are
    # read in many short pieces, and a 5M model samples a fifth faster
    # (docs/decisions/0033-decoding-by-numba.md).
    "THP_MEM_ALLOC_ENABLE": "1",
}


LOOPBACK = ("localhost", "127.0.0.1", "::1")


def quiet(offline: bool = False) -> None:
    """Set the environment defaults above; with `offline`, Hugging Face libraries do not try the hub (23 s of
    retries otherwise).
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    spare_loopback()
    if offline:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("HF_DATASETS_OFFLINE", "1")


def spare_loopback() -> None:
    """Servers of this machine are never asked through a proxy, by this process or its children; what the user
    excepts stays excepted.
    """
    excepted = [
        host.strip()
        for name in ("no_proxy", "NO_PROXY")
        for host in os.environ.get(name, "").split(",")
        if host.strip()
    ]
    if "*" not in excepted:
        both = ",".join(dict.fromkeys([*excepted, *LOOPBACK]))
        os.environ |= {"no_proxy": both, "NO_PROXY": both}  # libraries read one or the other first
