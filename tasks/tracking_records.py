"""What is logged to MLflow, as plain values: flattened parameters, batched metrics, datasets with DVC
digests, and owner tags. Secrets are left out.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")

# Words of a dotted or underscored name that mark a credential. `tokens` (counts) and `eos_token` (text) are
# none.
_SECRET = re.compile(r"(?:^|[._\-/ ])(?:(?<!eos_)(?<!bos_)(?<!pad_)(?<!unk_)token|secret"
    r"|passw(?:or)?d|passphrase"
    r"|credentials?|api_?key|"
                     r"access_?key|private_?key|auth)(?:$|[._\-/ ])", re.IGNORECASE)  # fmt: skip
_URL_LOGIN = re.compile(r"(://[^/\s:@]*):[^@\s/]+@")
_URL_KEY = re.compile(
    r"([?&](?:[\w.\-]*[._\-])?(?:token|key|secret|sig|signature|auth|password|credential)=)[^&#\s'\"]+",
    re.IGNORECASE,
)
# sections of params.yaml that may hold a secret whatever its keys are called: a webhook's path is one
_NEVER = ("notify",)


def public(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `values` without those whose name means a credential, and with passwords in URLs masked."""
    allowed = {name: value for name, value in values.items() if not _SECRET.search(name)}
    return {name: masked(value) if isinstance(value, str) else value for name, value in allowed.items()}


def masked(text: str) -> str:
    """Returns the text with passwords and keys in URLs as ***."""
    return _URL_KEY.sub(r"\1***", _URL_LOGIN.sub(r"\1:***@", text))


def without_secrets(value: Any) -> Any:
    """Returns nested mappings and lists without keys that name a credential, without `notify`, and with URLs
    masked.
    """
    if isinstance(value, Mapping):
        return {
            key: without_secrets(inner)
            for key, inner in value.items()
            if not _SECRET.search(str(key)) and key not in _NEVER
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner) for inner in value]
    return masked(value) if isinstance(value, str) else value


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested mappings as dotted names without credentials: {"sft": {"lr": 1}} -> {"sft.lr": 1}. Lists
    stay values.
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping) and not _SECRET.search(dotted):
            result |= flat(value, dotted + ".")
        else:
            result[dotted] = value
    return public(result)


def in_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yields the items in batches; MLflow takes at most 1000 metrics and 100 parameters in one call."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def metric_name(name: str) -> str:
    """Returns the name reduced to the characters and the length that MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def row_metrics(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Returns rows {"step": int, name: number} as MLflow metrics; names are reduced to the characters that
    MLflow allows.
    """
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [
        Metric(metric_name(name), float(value), now, int(row.get("step", 0)))
        for row in rows
        for name, value in public(row).items()
        if name != "step" and isinstance(value, (int, float))
    ]


def input_datasets(inputs: Mapping[str, str]) -> list[Any]:
    """Returns {path: DVC digest} as MLflow dataset inputs. The digest field holds 36 characters, just enough
    for an md5 and `.dir`.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=path[-500:],
                digest=str(digest)[:36],
                source_type="dvc",
                source=json.dumps({"uri": f"dvc://{digest}/{path}", "path": path}),
            ),
            tags=[InputTag("mlflow.data.context", "input")],
        )
        for path, digest in inputs.items()
    ]


@dataclass(frozen=True)
class Owner:
    """The process that owns a run. The creation time distinguishes it from another process with the same
    id.
    """

    pid: int
    host: str
    started: float

    @classmethod
    def this(cls) -> Owner:
        import psutil

        return cls(os.getpid(), socket.gethostname(), psutil.Process().create_time())

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Owner | None:
        """Returns the owner written in a run's tags; None when they name none."""
        try:
            return cls(int(tags["owner.pid"]), tags["owner.host"], float(tags["owner.started"]))
        except (KeyError, ValueError):
            return None

    def tags(self) -> dict[str, str]:
        return {"owner.pid": str(self.pid), "owner.host": self.host, "owner.started": repr(self.started)}

    def is_gone(self) -> bool:
        """Returns whether the process has ended; False for another host's, which cannot be checked from
        here.
        """
        import psutil

        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) > 1 or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False
