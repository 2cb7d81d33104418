"""Every rank learns from the same verdicts: a model's are divided, a rule's repeated."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from hypothesis import given
from hypothesis import strategies as st

from pipelines.rewards.judge import Response
from pipelines.rewards.verdict import Verdict
from pipelines.training.ranks import Ranks
from pipelines.training.sharded_judge import ShardedJudge


class Meeting:
    """Ranks as threads: what `torch.distributed` does, in one process."""

    def __init__(self, size):
        self.barrier, self.slots, self.size = Barrier(size), [None] * size, size

    def ranks(self):
        meeting = self

        class Met(Ranks):
            def _all_gather_object(self, value):
                meeting.slots[self.index] = value
                meeting.barrier.wait(10)
                found = list(meeting.slots)
                meeting.barrier.wait(10)
                return found

        return [Met(index, self.size) for index in range(self.size)]


class Noted:
    """Its verdicts name the rank that gave them."""

    def __init__(self, rank, deterministic):
        self.rank, self.deterministic, self.seen, self.model = rank, deterministic, [], f"model {rank}"

    def judge(self, responses):
        self.seen += [response.text for response in responses]
        return [Verdict("right", float(response.text), f"rank {self.rank}") for response in responses]

    def preflight(self, records):
        self.seen.append(records)


def meet(size, count, deterministic):
    responses = [Response(None, (), str(number), True) for number in range(count)]
    judges = [Noted(rank, deterministic) for rank in range(size)]
    with ThreadPoolExecutor(size) as pool:
        calls = [
            pool.submit(ShardedJudge(judge, ranks).judge, responses)
            for judge, ranks in zip(judges, Meeting(size).ranks(), strict=True)
        ]
        return judges, [call.result(20) for call in calls]


@given(st.integers(1, 3), st.integers(0, 7))
def test_each_response_is_judged_by_one_rank_for_all(size, count):
    judges, verdicts = meet(size, count, False)
    assert all(found == verdicts[0] for found in verdicts)
    assert [verdict.score for verdict in verdicts[0]] == list(range(count))
    assert sorted(text for judge in judges for text in judge.seen) == sorted(
        str(number) for number in range(count)
    )


def test_a_deterministic_judge_does_not_talk():
    judges, verdicts = meet(2, 3, True)
    assert [judge.seen for judge in judges] == [["0", "1", "2"]] * 2
    assert [found[0].reason for found in verdicts] == ["rank 0", "rank 1"]


def test_every_rank_tries_its_judge_and_holds_its_model():
    judge = Noted(0, False)
    sharded = ShardedJudge(judge, Ranks(0, 2))
    sharded.preflight(["all"])
    assert judge.seen == [["all"]]
    assert sharded.model == "model 0"
    assert sharded.deterministic
