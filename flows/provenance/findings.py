"""What does not match in an ancestry, in words: files whose bytes differ, links that no digest covers,
records that contradict each other.
"""

from __future__ import annotations

from pathlib import Path

from flows.graph.stage_records import RecordJudgement
from flows.provenance.content import CHANGED, CORRUPT, GOOD, MISSING, Contents, ContentState
from flows.provenance.history import RUN_CACHE, WORKTREE, Entry
from tasks.content import folder_links

NAMED_AT_MOST = 20  # files of one folder that are named as problems
_SAID = {
    CHANGED: "its bytes are not the recorded ones",
    CORRUPT: "the object in DVC's cache does not match its name; "
    "remove it and fetch it again (`dvc fetch`), or run the stage again",
    MISSING: "neither the workspace nor DVC's cache holds the recorded bytes; "
    "fetch them with `dvc fetch --all-commits --run-cache`",
}


class Findings:
    """`problems`: [{"path", "problem"}], none twice; `unverified`: [{"stage", "recorded_in"}], runs of which
    dvc.lock alone tells.
    """

    def __init__(self, contents: Contents):
        self.contents = contents
        self.problems: list[dict[str, str]] = []
        self.unverified: list[dict[str, str]] = []

    def say(self, path: str, problem: str) -> None:
        row = {"path": path, "problem": problem}
        if row not in self.problems:
            self.problems.append(row)

    def check_links(self, path: str, place: Path | None = None) -> None:
        """Report links to folders, whose content is in no digest."""
        for link in folder_links(place or self.contents.root / path):
            self.say(
                f"{path}/{link}",
                "a link to a folder or to nothing: what lies behind it is in no digest; put the files "
                "themselves here",
            )

    def report(self, path: str, digest: str, finding: ContentState) -> None:
        """Report each file that differs, or the whole path when the files are not known."""
        if finding.status in GOOD:
            return
        for name, change in list(finding.files.items())[:NAMED_AT_MOST]:
            self.say(f"{path}/{name}", f"{change}; {_SAID[finding.status]} ({path} was recorded as {digest})")
        if len(finding.files) > NAMED_AT_MOST:
            self.say(path, f"{len(finding.files) - NAMED_AT_MOST} more files like these")
        if not finding.files:
            content = self.contents.at(path) if finding.status == CHANGED else None
            self.say(
                path,
                f"{finding.status}: {_SAID[finding.status]} (recorded "
                f"{digest}{f', content {content[0]}' if content else ''})",
            )

    def agrees(self, entry: Entry, judgement: RecordJudgement) -> bool:
        """Returns whether no other record of the run contradicts the entry; what contradicts it is a problem,
        and a run without another record is noted as unverified.
        """
        record_name = {WORKTREE: "dvc.lock", RUN_CACHE: "the run cache"}.get(
            entry.state, f"dvc.lock of commit {entry.state[:10]}"
        )
        for difference in judgement.differences:
            self.say(
                f"{record_name}: {entry.stage}",
                f"the records of one run disagree: {difference.text(record_name)}; one of them was edited, "
                f"or dvc.lock was merged from two runs. "
                f"`whetstone run {entry.stage}` makes or restores the result that its inputs give",
            )
        if not judgement.witnesses and not judgement.differences and entry.state != RUN_CACHE:
            self.unverified.append({"stage": entry.stage, "recorded_in": record_name})
        return not judgement.differences


def word(status: str) -> str:
    """Returns the status of a finding: verified, modified or missing."""
    return "verified" if status in GOOD else "missing" if status in (MISSING, "gone") else "modified"


def worse(first: str, second: str) -> str:
    """Returns the more serious one of two statuses of a run."""
    return max(first, second, key=("verified", "recorded", "missing", "modified").index)
