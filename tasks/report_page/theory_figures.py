"""Figures of the synthetic experiment: the five panels of one world, and the effect of the number of DPO
steps (dpo_vs_ppo.md 6).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.report_page.picture import Picture
from tasks.report_page.preference_results import Row
from tasks.report_page.svg import FAINT, INK, plain_axes, render_svg

# panels of the metrics that are no learnt policy; each other is a policy, named by its method
TITLES = {"coverage": "Covered by pairs", "reference": "Reference", "reward": "Learnt reward"}
NETWORK, TABLE, PPO = "#1f6feb", "#9a5be0", "#2f9e44"


def draw(value: Row, folder: Path) -> list[Picture]:
    """Write both figures of a `dpo_theory` metrics file."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_panels(value, folder), _sweep(value, folder)]


def _panels(value: Row, folder: Path) -> Picture:
    panels, raised = value["panels"], value["settings"]["raised"]
    size = len(panels["coverage"])
    rows, columns = range(size), range(size)
    risen = {
        name: [(x, y) for y in rows for x in columns if _raised(panels, name, y, x, raised)]
        for name in panels
        if name not in TITLES
    }

    def paint(figure: Any) -> None:
        for index, (name, panel) in enumerate(panels.items()):
            axes = figure.add_subplot(1, len(panels), index + 1)
            reward = name == "reward"
            limit = max(abs(cell) for row in panel for cell in row)
            style: dict[str, Any] = (
                {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
                if reward
                else {"cmap": "Blues", "vmin": 0, "vmax": 1}
            )
            axes.pcolormesh(panel, edgecolors="#8883", linewidth=0.4, **style)
            if risen.get(name):
                axes.scatter(
                    *zip(*((x + 0.5, y + 0.5) for x, y in risen[name]), strict=True),
                    s=14,
                    color="#d4661b",
                    linewidths=0,
                )
            axes.set_title(TITLES.get(name, name.upper()), fontsize=9.5, fontweight="bold")
            axes.set_aspect("equal")
            axes.invert_yaxis()
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel("answer", fontsize=8.5)
            if not index:
                axes.set_ylabel("prompt", fontsize=8.5)
            for side in axes.spines.values():
                side.set_visible(False)

    title = "Policies of one world"
    (folder / "theory_panels.svg").write_text(render_svg(title, (9.6, 2.3), paint), "utf-8")
    counts = ", ".join(f"{name.upper()} {len(cells)}" for name, cells in risen.items())
    words = f"{title}: uncovered cells raised by more than {raised}: {counts}"
    note = (
        f"Blue: probability 0 to 1. A dot: an uncovered answer that became likelier than under the reference "
        f"by more than {raised}"
    )
    return Picture("theory_panels.svg", words, note, wide=True)


def _raised(panels: Row, name: str, prompt: int, answer: int, limit: float) -> bool:
    return (
        not panels["coverage"][prompt][answer]
        and panels[name][prompt][answer] - panels["reference"][prompt][answer] > limit
    )


def _sweep(value: Row, folder: Path) -> Picture:
    kinds = [(kind, colour) for kind, colour in (("network", NETWORK), ("table", TABLE)) if kind in value]

    def paint(figure: Any) -> None:
        mass, cells = figure.subplots(1, 2)
        for kind, colour in kinds:
            rows, policies = value[kind]["sweep"], value[kind]["policies"]
            steps = [row["steps"] for row in rows]
            for axes, key, centre in (
                (mass, "uncovered_mass", "mean"),
                (cells, "seeds_with_raised", "share"),
            ):
                axes.plot(
                    steps,
                    [row[key][centre] for row in rows],
                    color=colour,
                    marker="o",
                    markersize=3,
                    label=f"DPO, {kind}",
                )
                axes.fill_between(
                    steps,
                    [row[key]["low"] for row in rows],
                    [row[key]["high"] for row in rows],
                    color=colour,
                    alpha=0.18,
                    linewidth=0,
                )
            ppo = policies["ppo"]["uncovered_mass"]
            if kind == kinds[0][0]:
                mass.axhline(
                    policies["reference"]["uncovered_mass"]["mean"],
                    color=FAINT,
                    linewidth=1,
                    linestyle=(0, (4, 3)),
                    label="reference",
                )
                mass.axhline(ppo["mean"], color=PPO, linewidth=1.4, label="PPO")
                mass.axhspan(ppo["low"], ppo["high"], color=PPO, alpha=0.18, linewidth=0)
        for axes, title in ((mass, "Mass on uncovered answers"), (cells, "Worlds with a raised cell, share")):
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
            axes.set_xlabel("DPO steps")
            axes.set_ylim(-0.02, 1.04 if axes is cells else None)
            plain_axes(axes)
        handles, labels = mass.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8.5
        )

    title = "DPO by its steps"
    (folder / "theory_sweep.svg").write_text(render_svg(title, (8.2, 3.0), paint), "utf-8")
    rows = value[kinds[0][0]]["sweep"]
    words = "; ".join(
        f"{row['steps']} steps: mass {row['uncovered_mass']['mean']:.3f}, raised in "
        f"{row['seeds_with_raised']['share']:.0%}"
        for row in rows
    )
    return Picture(
        "theory_sweep.svg",
        f"{title}, policy a {kinds[0][0]}. {words}",
        "Bands: 95 % intervals over worlds",
        wide=True,
    )
