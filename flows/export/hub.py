"""`whetstone export MODEL --to hub`: upload a folder with its card to a repository that the user names.

The token comes from the environment and is never printed; without a repository and a token nothing is sent.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from flows.export.folder import Exportable, NotExported, copy_model

TOKEN = "HF_TOKEN"


def to_hub(exported: Exportable, repository: str | None, public: bool) -> str:
    """Make the repository (private unless `public`) where there is none, and commit the folder to it.
    Returns the commit's address. Raises NotExported.
    """
    if not repository or repository.count("/") != 1:
        raise NotExported("--to hub needs --repo OWNER/NAME: the repository that is written to")
    token = os.environ.get(TOKEN)
    if not token:
        raise NotExported(f"{TOKEN} is not set: put a token that may write to {repository} there")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory(prefix="whetstone-hub-") as scratch:
        copy_model(exported, Path(scratch))
        try:
            api.create_repo(repository, private=not public, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository, folder_path=scratch, commit_message=f"{exported.facts.name} by Whetstone"
            )
        except OfflineModeIsEnabled as error:
            raise NotExported("HF_HUB_OFFLINE is set, so nothing can be sent; unset it") from error
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise NotExported(f"{repository}: {_without(token, str(error))}") from None
    return str(commit.commit_url)


def _without(token: str, text: str) -> str:
    return " ".join(text.replace(token, "…").split())[:400]
