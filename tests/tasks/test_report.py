"""The report stage: true to the metrics, the same bytes twice, safe to open whatever a model wrote."""

from __future__ import annotations

import json
import math
import re
import shutil
import statistics
import subprocess
import xml.dom.minidom
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from flows.graph import families
from flows.graph.closure import Code
from flows.plan_table import headline
from pipelines.settings import ROOT
from tasks.report import run
from tasks.report_page import figures, results
from tasks.report_page.stages import ReportedStages
from tasks.stage import Spec, Stage
from tests.tasks import report_results

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def report(root: Path, params: dict[str, Any], work: str = "work", **settings: Any) -> Path:
    """Run the stage in `root` and give its folder."""
    stage = Stage(
        Spec(
            stage="report",
            key="0",
            work=str(root / work),
            outs=("reports",),
            inputs={"metrics": "", "curves": "", "samples": ""},
            params={**params, "report": settings},
        )
    )
    run(stage)
    return root / work / "outs" / "reports"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value), "utf-8")


class Cells(HTMLParser):
    """Tables by caption: rows of cell texts; and every tag with its attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._caption, self._open = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "caption":
            self._open, self._caption = "caption", ""
        elif tag == "tr" and self._caption:
            self.tables.setdefault(self._caption, []).append([])
        elif tag in ("td", "th") and self._caption:
            self._open = "cell"
            self.tables[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("caption", "td", "th"):
            self._open = ""
        elif tag == "table":
            self._caption = ""

    def handle_data(self, data: str) -> None:
        if self._open == "caption":
            self._caption += data
        elif self._open == "cell":
            self.tables[self._caption][-1][-1] += data + " "

    def row(self, caption: str, name: str) -> list[str]:
        return next(
            [" ".join(cell.split()) for cell in row]
            for row in self.tables[caption]
            if row and row[0].strip() == name
        )


def test_headline_numbers_are_those_of_the_metrics_files(here: Path):
    folder = report(here, report_results.write(here))
    cells = Cells((folder / "index.html").read_text("utf-8"))
    for model in ("sft", "grpo"):
        heldout = json.loads((here / f"metrics/evaluate/{model}.json").read_text("utf-8"))["heldout"]
        row = cells.row("Accuracy on held-out problems", model)
        for place, decoding in ((1, "greedy"), (3, "sampled")):
            one = heldout[decoding]
            assert (
                row[place]
                == f"{100 * one['accuracy']:.1f} % {100 * one['low']:.1f} – {100 * one['high']:.1f}"
            )
            assert row[place + 1] == f"{one['right']} / {one['n']}"


def test_control_compares_rl_sampled_with_sft_greedy(here: Path):
    params = report_results.write(here, problems=21)
    for model, decoding, right in (("sft", "greedy", range(2)), ("grpo", "sampled", range(1, 9))):
        path = here / f"samples/{model}.jsonl"
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for row in rows:
            if row["decoding"] == decoding:
                row["verdict"] = "right" if int(row["id"][-4:]) in right else "wrong"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    folder = report(here, params)
    cells = Cells((folder / "index.html").read_text("utf-8"))
    # 7 gained, 1 lost of 21: Tango's interval in Fagerland, Lydersen and Laake (2014), Stat Med 33, 2850-2875
    assert [cell.strip() for cell in cells.tables["What reinforcement learning changed"][0]][
        3
    ] == "sampled vs sft greedy (control)"
    row = cells.row("What reinforcement learning changed", "grpo")
    assert row[5:] == ["+28.6 +2.6 to +51.7", "better"]
    assert "| +28.6 (+2.6 to +51.7) | better |" in (folder / "report.md").read_text("utf-8")


def test_markdown_holds_the_tables_of_the_page(here: Path):
    folder = report(
        here, report_results.write(here, methods=("grpo", "dapo"), models=("base", "sft", "grpo", "dapo"))
    )
    cells = Cells((folder / "index.html").read_text("utf-8"))
    text = (folder / "report.md").read_text("utf-8")
    for caption in (
        "Accuracy on held-out problems",
        "What reinforcement learning changed",
        "By subject, greedy",
        "By level, sampled",
        "What the methods are (prompts and updates of an iteration)",
        "Problems gained and lost, greedy",
    ):
        block = text.split(f"**{caption}**\n\n")[1].split("\n\n")[0].splitlines()[2:]
        written = [re.sub(r"[()]", "", line).strip("| ").split(" | ") for line in block]
        shown = [
            [re.sub(r"[()]", "", " ".join(cell.split())) for cell in row]
            for row in cells.tables[caption][-len(block) :]
        ]
        # but the wall time
        assert written == [row[: len(row) - (caption == "Accuracy on held-out problems")] for row in shown], (
            caption
        )


def test_two_runs_give_the_same_bytes_whatever_the_timings(here: Path):
    params = report_results.write(here)
    first = report(here, params, "first")
    (here / ".whetstone").mkdir()
    (here / ".whetstone/timings.json").write_text(
        json.dumps({"sft@sft": {"wall_s": 71.25, "command_s": 70.0, "action": "run", "run": "otter"}})
    )
    second = report(here, params, "second")
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert len(names) > 8
    differing = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert differing == ["timings.js"]
    assert (first / "timings.js").read_text(
        "utf-8"
    ) == "window.whetstoneTimings = null;\nwindow.whetstoneGraph = null;\n"


def test_a_users_matplotlib_settings_do_not_change_the_plots(here: Path):
    import matplotlib

    params = report_results.write(here)
    first = (report(here, params, "first") / "plots/reward.svg").read_bytes()
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "font.size": 30}):
        assert (report(here, params, "second") / "plots/reward.svg").read_bytes() == first


def test_what_a_model_or_a_file_wrote_is_escaped(here: Path):
    params = report_results.write(here)
    for model in ("sft", "grpo"):
        path = here / f"samples/{model}.jsonl"
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        evil = dict.fromkeys(("prompt", "answer", "text", "reason", "subject", "id"), EVIL)
        path.write_text(
            "".join(json.dumps({**row, **evil, "verdict": "wrong"}) + "\n" for row in rows), "utf-8"
        )
    edit(
        here / "metrics/evaluate/sft.json",
        lambda value: value["by_subject"].update({EVIL: value["by_subject"]["chain"]}),
    )
    edit(here / "metrics/corpus/exam.json", lambda value: value.update({EVIL: {EVIL: 3}}))
    folder = report(here, params, title=EVIL[:100])
    html, text = ((folder / name).read_text("utf-8") for name in ("index.html", "report.md"))
    assert "&lt;script&gt;alert" in html
    assert "<script>alert" not in html
    tags = Cells(html).tags
    assert [attrs.get("src") for tag, attrs in tags if tag == "script"] == ["timings.js", None]
    assert not any(name.startswith("on") for _, attrs in tags for name in attrs)
    assert "<" not in text


def test_nothing_is_loaded_from_elsewhere(here: Path):
    folder = report(here, report_results.write(here))
    html = (folder / "index.html").read_text("utf-8")
    links = [
        value
        for _, attrs in Cells(html).tags
        for name, value in attrs.items()
        if name in ("src", "href") and value
    ]
    local = [link for link in links if not link.startswith("#")]
    assert local
    assert [link for link in local if not (folder / link).is_file()] == []
    assert "url(http" not in html
    assert "@import" not in html


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("metrics/corpus/exam.json", "corpus@exam"),
        ("metrics/train/grpo.json", "rl@grpo"),
        ("metrics/evaluate/grpo.json", "evaluate@grpo"),
        ("samples/sft.jsonl", "evaluate@sft"),
        ("curves/sft.jsonl", "sft@sft"),
    ],
)
def test_a_missing_file_names_itself_and_its_stage(here: Path, missing: str, stage: str):
    params = report_results.write(here)
    (here / missing).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        report(here, params)
    assert missing in str(caught.value)
    assert f"whetstone run {stage}`" in str(caught.value)


def test_a_broken_row_names_its_line(here: Path):
    params = report_results.write(here)
    path = here / "curves/grpo.jsonl"
    path.write_text(path.read_text("utf-8").replace('{"step": 3,', '{"step": 3', 1), "utf-8")
    with pytest.raises(ValueError, match=r"grpo\.jsonl:4: not JSON"):
        report(here, params)


def test_only_named_models_and_methods_are_reported(here: Path):
    report_results.write(here, methods=("dapo",), models=("dapo", "base"))
    params = report_results.write(here)
    folder = report(here, params)
    assert "dapo" not in (folder / "index.html").read_text("utf-8")
    assert "dapo" not in "".join(path.read_text("utf-8") for path in folder.glob("plots/*.svg"))


def test_samples_stand_side_by_side_by_what_changed(here: Path):
    params = report_results.write(here, problems=8)
    verdicts = {
        "sft": "wrong right wrong right error right wrong right",
        "grpo": "right wrong wrong right right right wrong right",
    }
    for model, words in verdicts.items():
        path = here / f"samples/{model}.jsonl"
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        greedy = [row for row in rows if row["decoding"] == "greedy"]
        changed = [
            {**row, "verdict": verdict, "text": f"{model} answers {row['id']}"}
            for row, verdict in zip(greedy, words.split(), strict=True)
        ]
        path.write_text(
            "".join(json.dumps(row) + "\n" for row in changed[:: 1 if model == "sft" else -1]), "utf-8"
        )
    html = (report(here, params, samples=1) / "index.html").read_text("utf-8")
    # improved 0 and 4 (an error is not right), regressed 1, both wrong 2 and 6, both right 3, 5, 7
    assert Cells(html).row("Problems gained and lost, greedy", "grpo") == ["grpo", "8", "2", "1", "2", "3"]
    groups = dict(
        re.findall(r"<summary>([\w ]+) <small>[^<]*</small></summary>(.*?)</details>", html, re.DOTALL)
    )
    assert {name: re.findall(r"(\w+) answers (exam-\d+)", body) for name, body in groups.items()} == {
        "Improved": [("sft", "exam-0000"), ("grpo", "exam-0000")],
        "Regressed": [("sft", "exam-0001"), ("grpo", "exam-0001")],
        "Both wrong": [("sft", "exam-0002"), ("grpo", "exam-0002")],
        "Both right": [("sft", "exam-0003"), ("grpo", "exam-0003")],
    }


def test_corpus_counts_stand_by_split_and_a_split_without_a_count_has_a_dash(here: Path):
    params = report_results.write(here)
    edit(
        here / "metrics/corpus/exam.json",
        lambda value: value.update(levels={"sft": {"1": 4000}, "rl": {"1": 2000, "2": 4000}}),
    )
    cells = Cells((report(here, params) / "index.html").read_text("utf-8"))
    assert cells.row("Corpus exam, by split", "records") == ["records", "4,000", "6,000", "400"]
    assert cells.row("Corpus exam, by split", "levels: 2") == ["levels: 2", "–", "4,000", "–"]
    assert cells.row("Corpus exam", "duplicates: near") == ["duplicates: near", "41"]


def test_without_levels_kl_or_a_baseline_the_rest_is_shown(here: Path):
    params = report_results.write(here, models=("grpo",), levels=False)
    path = here / "curves/grpo.jsonl"
    rows = [
        {key: value for key, value in json.loads(line).items() if key != "kl"}
        for line in path.read_text("utf-8").splitlines()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    folder = report(here, params)
    html = (folder / "index.html").read_text("utf-8")
    cells = Cells(html)
    assert "By level, greedy" not in cells.tables
    assert "By subject, greedy" in cells.tables
    assert not (folder / "plots/kl.svg").exists()
    assert re.search("Not in the curves: .*KL to the reference", html)
    assert "No comparison" in html


def test_nothing_counted_is_a_dash(here: Path):
    params = report_results.write(here)
    empty = {"n": 0, "right": 0, "errors": 0, "accuracy": None, "low": None, "high": None}
    edit(
        here / "metrics/evaluate/grpo.json",
        lambda value: value.update(heldout={"greedy": empty, "sampled": empty}),
    )
    cells = Cells((report(here, params) / "index.html").read_text("utf-8"))
    assert cells.row("Accuracy on held-out problems", "grpo")[1] == "–"


def test_plots_are_whole_svg_with_a_line_per_method_and_a_dark_dress(here: Path):
    folder = report(
        here, report_results.write(here, methods=("grpo", "dapo"), models=("sft", "grpo", "dapo"))
    )
    for path in folder.glob("plots/*.svg"):
        xml.dom.minidom.parse(str(path))
        assert "prefers-color-scheme: dark" in path.read_text("utf-8")
    names = {path.stem for path in folder.glob("plots/*.svg")}
    assert {"reward", "accuracy", "entropy", "length", "kl", "sft_loss"} <= names
    reward = (folder / "plots/reward.svg").read_text("utf-8")
    assert re.findall(r">(grpo|dapo)</text>", reward) == ["grpo", "dapo"]


def test_several_methods_are_drawn_over_the_tokens_they_sampled_and_one_over_its_iterations(here: Path):
    params = report_results.write(here, methods=("grpo", "spo_tree"), models=("sft", "grpo", "spo_tree"))
    folder = report(here, params, "several")
    for file, label in (
        ("reward", "sampled tokens"),
        ("reward-iterations", "iteration"),
        ("sft_loss", "step"),
    ):
        assert f">{label}</text>" in (folder / f"plots/{file}.svg").read_text("utf-8")
    rows = [json.loads(line) for line in (here / "curves/spo_tree.jsonl").read_text("utf-8").splitlines()]
    html = (folder / "index.html").read_text("utf-8")
    total = sum(row.get("sampled_tokens", 0) for row in rows)
    assert (
        f"spo_tree from {rows[1]['reward']:.3g} at {rows[1]['sampled_tokens']:,} to {rows[-1]['reward']:.3g} at {total:,} tokens"
        in html
    )
    assert Cells(html).row("Accuracy on held-out problems", "spo_tree")[5:8] == [
        str(len(rows) - 1),
        f"{total:,}",
        str(2 * len(rows) - 2),
    ]
    alone = report(
        here,
        {
            **params,
            "rl.runs": report_results.runs(["grpo"]),
            "evaluate.runs": report_results.evaluations(["sft", "grpo"]),
        },
        "one",
    )
    assert ">iteration</text>" in (alone / "plots/reward.svg").read_text("utf-8")
    assert ">sampled tokens</text>" in (alone / "plots/reward-tokens.svg").read_text("utf-8")


def test_curves_that_do_not_count_tokens_are_drawn_over_iterations(here: Path):
    params = report_results.write(here, methods=("grpo", "dapo"), models=("sft", "grpo", "dapo"))
    path = here / "curves/dapo.jsonl"
    path.write_text(re.sub(r'"sampled_tokens": \d+, ', "", path.read_text("utf-8")), "utf-8")
    edit(
        here / "metrics/train/dapo.json",
        lambda value: [value.pop(key) for key in ("sampled_tokens", "method", "entropy")],
    )
    folder = report(here, params)
    assert ">iteration</text>" in (folder / "plots/reward.svg").read_text("utf-8")
    assert not list(folder.glob("plots/*-*.svg"))
    cells = Cells((folder / "index.html").read_text("utf-8"))
    assert "input" not in [tag for tag, _ in cells.tags]
    assert cells.row("Accuracy on held-out problems", "dapo")[6] == "–"
    assert set(cells.row("What the methods are (prompts and updates of an iteration)", "dapo")[1:]) == {"–"}


def test_a_figure_of_one_method_names_it_where_there_are_others(here: Path):
    params = report_results.write(
        here, methods=("ppo", "kl_cov", "spo_tree"), models=("sft", "ppo", "kl_cov", "spo_tree")
    )
    folder = report(here, params)
    names = {
        file: re.findall(r">([\w ]+)</text>", (folder / f"plots/{file}.svg").read_text("utf-8"))
        for file in ("value_loss", "covariance")
    }
    assert "ppo" in names["value_loss"]
    assert [name for name in names["covariance"] if name.startswith("kl_cov")] == [
        f"kl_cov {name}" for name in ("likely good", "likely bad", "rare good", "rare bad")
    ]


def test_fourteen_methods_have_lines_of_their_own_and_one_summary(here: Path):
    names = [f"method_{number}" for number in range(14)]
    params = report_results.write(here, methods=names, models=["sft", *names], problems=40, iterations=30)
    folder = report(here, params)
    keys = ("evaluate.runs", "rl.runs", "sft.runs")
    subject = results.ReportSubject.of(*(params[key] for key in keys))
    found = results.read(
        ReportedStages(families.reported()),
        *(here / name for name in ("metrics", "curves", "samples")),
        subject,
    )
    looks = {
        (line.colour, str(line.dash)) for line in figures.series(found, figures.PLOTS[0], figures.TOKENS)
    }
    assert len(looks) == len(names)
    reward = (folder / "plots/reward.svg").read_text("utf-8")
    assert [name for name in names if f">{name}</text>" in reward] == names
    html = (folder / "index.html").read_text("utf-8")
    assert html.count('class="lead"') == 3
    assert 'class="card"' not in html


def test_the_report_leads_with_every_model_and_one_row_for_the_seeds_of_a_run(here: Path):
    names = ("grpo_s0", "grpo_s1", "grpo_s2")
    params = report_results.write(here, methods=names, models=("sft", *names, "dapo"), iterations=20)
    params["evaluate.runs"]["dapo"] = {"model": "dapo", "data": "other"}
    edit(
        here / "metrics/evaluate/dapo.json",
        lambda value: value.update(data="other", by_novelty={}, distinct_lines=0.5),
    )
    folder = report(here, params)
    html = (folder / "index.html").read_text("utf-8")
    assert html.index("<caption>All models") < html.index("<caption>Accuracy on held-out problems")
    cells = Cells(html)
    assert [row[0].strip() for row in cells.tables["All models"][2:]] == ["sft", "grpo", "dapo"]
    row = cells.row("All models", "grpo")
    shares = [
        json.loads((here / f"metrics/evaluate/{name}.json").read_text())["heldout"]["greedy"]["accuracy"]
        for name in names
    ]
    half = 4.3027 * statistics.stdev(shares) / math.sqrt(3)  # t of two degrees of freedom at 97.5 %
    mean = statistics.fmean(shares)
    assert row[1:3] == ["exam", "3"]
    assert row[3] == f"{100 * mean:.1f} % {100 * (mean - half):.1f} – {100 * (mean + half):.1f}"
    assert row[-1] == "sft"
    assert cells.row("All models", "dapo")[1] == "other"
    folded = re.findall(r'<details class="folded"><summary>([^<]+)', html)
    assert {"By subject, sampled", "Training in figures", "Evaluation settings"} <= set(folded)
    assert "By subject, greedy" not in folded


def test_a_browser_fills_in_the_timings(here: Path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    params = report_results.write(here)
    (here / ".whetstone").mkdir()
    row = {"wall_s": 71.26, "command_s": 70.0, "action": "run", "run": "</script>otter"}
    timings = {"sft@sft": row, "rl@grpo": row | {"wall_s": 130.4}, "evaluate@grpo": row | {"wall_s": 9.0}}
    (here / ".whetstone/timings.json").write_text(json.dumps(timings), "utf-8")
    (here / ".whetstone/graph.json").write_text(
        json.dumps({"sft@sft": [], "dpo@<b>": ["sft@sft", "left out"]}), "utf-8"
    )
    page = report(here, params) / "index.html"
    text = page.read_text("utf-8")
    extra = [
        ("entropy", "Entropy"),
        ("preferences", "Preferences"),
        ("theory", "Theory"),
        ("verifiers", "Verifiers"),
    ]
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name in extra)
    probe = "<script>document.title = document.querySelector('nav ul').clientHeight + ' ' + document.body.scrollWidth</script>"
    page.write_text(
        text.replace("</ul></nav>", f"{links}</ul></nav>").replace("</body>", f"{probe}</body>"), "utf-8"
    )
    quiet = [
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
    ]
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        *quiet,
        f"--user-data-dir={here / 'profile'}",
        "--window-size=1280,900",
        "--dump-dom",
    ]
    dom = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=90, check=True
    ).stdout
    height, width = map(int, re.search(r"<title>(\d+) (\d+)", dom).groups())
    assert height < 45  # the navigation of a page with every section is one line
    assert width <= 1280
    assert Cells(dom).row("Timings", "sft@sft") == [
        "sft@sft",
        "1 min 11 s",
        "1 min 10 s",
        "run",
        "</script>otter",
    ]
    assert Cells(dom).row("Accuracy on held-out problems", "sft")[-1] == "1 min 11 s"
    assert Cells(dom).row("Accuracy on held-out problems", "grpo")[-1] == "2 min 10 s"
    drawn = dom[dom.index('id="graph-of-stages"') : dom.index('id="graph-note"')]  # the runner's graph
    assert drawn.count('class="edge') == 1
    assert "dpo@&lt;b&gt;" in drawn
    assert "base" not in drawn
    assert "1 min 11 s" in drawn


@pytest.mark.parametrize(
    ("model", "stage"),
    [
        ("sft", "sft@sft"),
        ("grpo", "rl@grpo"),
        ("dpo", "dpo@dpo"),
        ("dpo_iter_2", "dpo@dpo_iter_2"),
        ("ppo_rm", "rl@ppo_rm"),
        ("rlvr_soft", "rl@rlvr_soft"),
    ],
)
def test_the_wall_time_of_a_model_is_its_stages(model: str, stage: str):
    assert stage in ReportedStages(families.reported()).makers(model, "policy")


def test_templates_and_style_are_code_of_the_stage() -> None:
    code = Code(ROOT)
    held = code.digests(code.closure(["tasks.report"])[0])
    folder = ROOT / "tasks/report_page"
    looks = {
        f"tasks/report_page/{path.name}" for path in folder.iterdir() if path.suffix in (".j2", ".css", ".js")
    }
    assert len(looks) == 4
    assert looks <= set(held)


def test_warnings_stand_in_the_head_of_page_and_text_for_named_members_only(here: Path):
    params = report_results.write(here, methods=("grpo", "dapo"), models=("sft", "grpo"))
    del params["rl.runs"]["dapo"]  # of an earlier run
    for name in ("grpo", "dapo"):
        edit(
            here / f"metrics/train/{name}.json",
            lambda value: value.update(updates=0, warnings=["no optimiser update; <b>unchanged</b>"]),
        )
    folder = report(here, params)
    text, page = ((folder / name).read_text("utf-8") for name in ("report.md", "index.html"))
    line = "warning: rl@grpo: no optimiser update; &lt;b>unchanged&lt;/b>"
    assert line in headline(text)
    assert text.count("warning: ") == 1
    assert '<p class="warning">warning: rl@grpo: no optimiser update; &lt;b&gt;' in page
    cells = Cells(page)
    assert cells.row("Accuracy on held-out problems", "grpo")[7] == "0"
    assert "warnings" not in [row[0] for row in cells.tables["Training in figures"]]


def test_runs_that_a_model_rewards_stand_among_the_methods_with_their_reward(here: Path):
    params = report_results.write(here, models=("sft", "grpo", "ppo_rm"))
    params["rl.runs"]["ppo_rm"] = params["rl.runs"]["grpo"] | {"judge": "reward_model"}
    params["rl.runs"]["arm"] = params["rl.runs"]["ppo_rm"] | {"data": "other"}  # not trained yet
    words = report_results.words("ppo") | {"reward": "reward_model, model reward_model"}
    (here / "metrics/train/ppo_rm.json").write_text(json.dumps({"updates": 64, "method": words}), "utf-8")
    cells = Cells((report(here, params) / "index.html").read_text("utf-8"))
    title = "What the methods are (prompts and updates of an iteration)"
    assert [[cell.strip() for cell in row[:2]] for row in cells.tables[title]] == [
        ["method", "reward"],
        ["grpo", "final_answer"],
        ["ppo_rm", "reward_model, model reward_model"],
    ]
    assert cells.row("Accuracy on held-out problems", "ppo_rm")[7] == "64"
