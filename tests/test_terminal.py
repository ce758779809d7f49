"""The terminal: how much is said, what is shown while something runs, completion, presets."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class

from cartpole import TINY
from commands import fails, run
from d3rlpy_distill import OfflineDataset
from d3rlpy_distill.catalogue import METHODS
from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.evaluation import ArmResult
from d3rlpy_distill.options import options_of
from d3rlpy_distill.pipeline import configure, load, load_distilled, plan_evaluation
from d3rlpy_distill.presets import KINDS, preset_table, preset_values
from d3rlpy_distill.sweeping import SweepConfig, plan_sweep
from rld_distill.group import cli
from test_tables import in_terminal

FEW = ["--students", 1, "--episodes", 1, "--full-steps", 2, "--small-steps", 2, "--converged-steps", 2]


def test_v_and_q_say_more_and_less(cartpole: Path, small: Path, tmp_path: Path) -> None:
    command = ["evaluate", cartpole, small, *FEW, "--splits", "train", "--arms", "bc-10,bc-25,distilled-5"]
    ordinary = run(*command, "-o", tmp_path / "a")
    assert "Warning: bc-10, bc-25" in ordinary.stderr or ordinary.stderr == ""
    verbose = run(*command, "-o", tmp_path / "b", "-v").stderr.splitlines()
    told = [line.partition(":")[0] for line in verbose if line[0].isdigit()]
    assert told == ["1/3 bc-10", "2/3 bc-25", "3/3 distilled-5"]
    assert verbose[-1] == f"next: rld-distill report {tmp_path / 'b'} --out b.html"
    quiet = run(*command, "-o", tmp_path / "c", "-q", "--algos", "mlp")
    assert quiet.exit_code == 0 and quiet.stderr == ""  # --algos would warn
    assert "| distilled-5 |" in quiet.stdout
    before = run("-q", *command, "-o", tmp_path / "d", "--algos", "mlp")
    assert before.exit_code == 0 and before.stderr == ""
    assert "next: rld-distill report" in run("-v", *command, "-o", tmp_path / "e").stderr
    fails(2, "Missing argument", "distill", "-q")


def test_a_sweep_tells_each_cell(cartpole: Path, tmp_path: Path) -> None:
    command = ["sweep", cartpole, "--methods", "random", "--sizes", "5,9999", *FEW[:-2], "--splits", "train"]
    result = run(*command, "-o", tmp_path / "s", "-v")
    assert "1/2 cart-random-5-0: done" in result.stderr
    assert "2/2 cart-random-9999-0: failed: n_samples=9999" in result.stderr and result.exit_code == 1


def test_a_sweep_shows_what_is_done_inside_a_cell(cartpole: Path, tmp_path: Path) -> None:
    protocol = dataclasses.replace(TINY, students=1, episodes=1)
    config = SweepConfig(splits=("train",), steps=2, protocol=protocol)
    seen: list[str] = []
    plan = plan_sweep([cartpole], ["gradient"], [5], directory=tmp_path / "s", config=config)
    plan.run(progress=lambda what, done, total: seen.append(what))
    for what in ("distilling (2/2)", "training random-5", "playing distilled-5, train, sampled"):
        assert any(one.startswith(f"cart-gradient-5-0: {what}") for one in seen), seen


def test_every_command_has_v_and_q_and_the_short_forms() -> None:
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        leaves = list(command.commands.values()) if hasattr(command, "commands") else [command]
        for leaf in leaves:
            spelled = {opt for param in leaf.params for opt in param.opts}
            assert {"-v", "--verbose", "-q", "--quiet"} <= spelled, leaf.name
            assert ("--out" in spelled) == ("-o" in spelled) and ("--dry-run" in spelled) == ("-n" in spelled)


@pytest.mark.skipif(sys.platform != "linux", reason="pseudo-terminals")
def test_a_terminal_shows_what_is_done_and_what_is_next(cartpole: Path, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    said = in_terminal(
        80,
        "evaluate",
        cartpole,
        small,
        *FEW,
        "--splits",
        "train",
        "--arms",
        "random-policy,distilled-5",
        "--jobs",
        2,  # processes take a moment to begin, in which there is something to be seen
        "-o",
        out,
    )
    lines = [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)) if line.strip()]
    assert any(line.startswith("1/2 random-policy: train ") for line in lines)
    assert any(line.startswith("2/2 distilled-5: train ") for line in lines)
    assert "evaluating" in said and "/2 arms; playing random-policy" in said
    assert "| --- |" not in said  # Markdown is for pipes
    assert lines[-1] == f"next: rld-distill report {out} --out results.html"
    assert "next: " not in in_terminal(80, "collect", "gym/CartPole-v1", "--policy", "random", "--episodes", 1, "-q",
                                       "-o", tmp_path / "c.h5")  # fmt: skip


def test_progress_counts_all_of_an_evaluation(cartpole: Path, small: Path, tmp_path: Path) -> None:
    plan = plan_evaluation(
        load(cartpole),
        [load_distilled(small)],
        protocol=TINY,
        splits=["train"],
        arms=["random-policy", "random-5"],
    )
    seen: list[tuple[int, int]] = []
    finished: list[str] = []

    def on_arm(entries: Sequence[ArmResult]) -> None:
        finished.append(entries[0].name)
        assert {one.mode for one in entries} == {"sampled", "greedy"}

    plan.run(tmp_path / "e", progress=lambda what, done, total: seen.append((done, total)), on_arm=on_arm)
    assert finished == ["random-policy", "random-5"]
    done = [one for one, _ in seen]
    assert {total for _, total in seen} == {2 * 2 + 2}  # two arms on one split in two modes, two students
    assert done == sorted(done) and done[0] == 0 and done[-1] == 6


def completions(words: Sequence[str], incomplete: str) -> list[str]:
    kind = get_completion_class("bash")
    assert kind is not None
    complete = kind(cli, {}, "rld-distill", "_RLD_DISTILL_COMPLETE")
    return [item.value for item in complete.get_completions(list(words), incomplete)]


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "eval", ["evaluate"]),
        (["collect"], "starp", ["starpilot"]),
        (["collect"], "procgen/starp", ["procgen/starpilot"]),
        (["distill"], "starpilot-so", ["starpilot-soft-150"]),
        (["distill", "x.h5", "--method"], "la", ["labels"]),
        (["distill", "x.h5", "--method"], "herd", ["herding"]),
        (["distill", "x.h5", "--student"], "impala-", ["impala-s2d"]),
        (["distill", "x.h5", "--distance"], "co", ["cosine"]),
        (["distill", "x.h5", "--method", "labels"], "--teacher-s", ["--teacher-steps"]),
        (["evaluate", "x.h5"], "jumper-s", ["jumper-soft-150"]),
        (["evaluate", "x.h5", "y.h5", "--student"], "paper,cq", ["paper,cql"]),
        (["evaluate", "x.h5", "y.h5", "--coresets"], "k-", ["k-center"]),
        (["sweep", "x.h5", "--methods"], "gradient,lab", ["gradient,labels"]),
        (["datasets", "make"], "bigfish-so", ["bigfish-soft-150"]),
        (["list"], "stu", ["students"]),
        (["presets"], "unr", ["unrolled"]),
        (["completion"], "z", ["zsh"]),
    ],
)
def test_names_are_completed(words: list[str], incomplete: str, expected: list[str]) -> None:
    found = completions(words, incomplete)
    assert set(expected) <= set(found) and all(name.startswith(incomplete) for name in found)
    assert len(found) <= len(expected) + 1  # another version of it, such as starpilot-expert@1


def test_files_are_completed_where_names_and_files_may_stand() -> None:
    kind = get_completion_class("bash")
    assert kind is not None
    items = kind(cli, {}, "rld-distill", "_RLD_DISTILL_COMPLETE").get_completions(["distill"], "data/")
    assert [item.type for item in items] == ["file"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_and_answers_the_shell(shell: str) -> None:
    printed = run("completion", shell)
    assert printed.exit_code == 0 and "_RLD_DISTILL_COMPLETE" in printed.stdout
    fails(2, "'tcsh'", "completion", "tcsh")


def test_the_shell_gets_nothing_but_names() -> None:
    """In a process of its own, as a shell asks: no advertisement of gym's, no traceback."""
    environment = {
        **os.environ,
        "_RLD_DISTILL_COMPLETE": "bash_complete",
        "COMP_WORDS": "rld-distill collect heis",
        "COMP_CWORD": "2",
    }
    script = "from rld_distill.main import entry_point; entry_point()"
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "plain,heist\n" and ended.stderr == ""


def test_presets_are_what_a_distillation_is_configured_with(starpilot_dataset: OfflineDataset) -> None:
    for method in METHODS.names(""):
        if method == "kernel-actions":
            with pytest.raises(SettingsError, match="discrete actions have the method 'kernel'"):
                configure(starpilot_dataset, method)
            continue
        configured, _ = configure(starpilot_dataset, method)
        values = preset_values(method, starpilot_dataset)
        for field, _ in options_of(METHODS.get(method)):
            expected = configured.option_steps if field.name == "steps" else getattr(configured, field.name)
            assert values[field.name] == expected
    paper = preset_values("gradient", starpilot_dataset, preset="paper")
    assert paper["theta"] == "given" and paper["optimizer"] == "sgd" and paper["steps"] == 1000
    with pytest.raises(SettingsError, match="preset='best'"):
        preset_values("gradient", starpilot_dataset, preset="best")


def test_presets_of_every_kind_of_data_are_shown(starpilot_file: Path) -> None:
    table = preset_table("gradient")
    assert [name for name in table if name.startswith("default")] == [f"default, {kind}" for kind in KINDS]
    assert "paper, images" in table and "paper, vectors" not in table
    assert table["default, vectors"]["learning_rate"] != table["default, images"]["learning_rate"]
    assert "default, continuous actions" not in preset_table("labels")
    shown = json.loads(run("presets", "--json").stdout)
    assert set(shown) == set(METHODS.names("")) and shown["gradient"] == table
    printed = run("presets", "gradient").stdout
    (percent,) = [line for line in printed.splitlines() if line.startswith("| --percent |")]
    assert "| --learning-rate |" in printed and "| 100 |" in percent and "none" not in percent  # what can be typed
    one = run("presets", "labels", "--of", starpilot_file).stdout
    assert "| option | default |" in one and "| --sharpness | 4 |" in one
    fails(2, "did you mean 'labels'?", "presets", "lables")


def test_print_config_tells_the_presets_values_and_is_the_same_again(
    starpilot_file: Path, distilled_file: Path, tmp_path: Path
) -> None:
    for method, options in (("labels", ["--teacher-steps", 7]), ("gradient", ["--preset", "paper"])):
        command = ["distill", starpilot_file, "--method", method]
        printed = run(*command, *options, "--print-config")
        assert printed.exit_code == 0, printed.output
        lines = dict(line.split(" = ", 1) for line in printed.stdout.splitlines())
        expected = preset_values(method, load(starpilot_file), preset=json.loads(lines["preset"]))
        for name in {"teacher_steps", "theta", "optimizer", "held_out", "trajectory_length"} & set(expected):
            value = 7 if name == "teacher_steps" else expected[name]
            assert json.loads(lines[name]) == value
        (tmp_path / "c.toml").write_text(printed.stdout)
        assert run(*command, "--config", tmp_path / "c.toml", "--print-config").stdout == printed.stdout
    absent = run("distill", tmp_path / "absent.h5", "--print-config")
    assert absent.exit_code == 0 and "samples = 150" in absent.stdout and "is no file" in absent.stderr
    evaluation = run("evaluate", starpilot_file, distilled_file, "--print-config").stdout.splitlines()
    assert {'student = ["paper"]', 'splits = ["id", "ood"]', "full_steps = 1000", "small_batch = 15"} <= set(
        evaluation
    )


def test_print_config_of_a_collection_says_what_the_task_gives(tmp_path: Path) -> None:
    procgen = run("collect", "starpilot", "--episodes", 3, "--print-config").stdout.splitlines()
    assert {'policy = "starpilot"', "envs = 3", 'out = "data/starpilot.h5"'} <= set(procgen)
    out = tmp_path / "c.h5"
    command = ["collect", "gym/CartPole-v1", "--policy", "random", "--episodes", 20, "-o", out]
    printed = run(*command, "--print-config").stdout
    (envs,) = [line for line in printed.splitlines() if line.startswith("envs = ")]
    assert run(*command).exit_code == 0
    assert OfflineDataset.load(out).provenance.settings["num_slots"] == int(envs.partition(" = ")[2])  # type: ignore[union-attr]
    (tmp_path / "c.toml").write_text(printed)
    again = ["collect", "gym/CartPole-v1", "--config", tmp_path / "c.toml"]
    assert run(*again, "--print-config").stdout == printed
    assert "nothing would be done" in run(*again, "--dry-run").stdout  # it is the very same collection


def test_print_config_of_a_sweep_says_what_tasks_and_methods_give(cartpole: Path, tmp_path: Path) -> None:
    command = ["sweep", cartpole, "--methods", "random,gradient", "--sizes", 5, "-o", tmp_path / "s", "--full"]
    printed = run(*command, "--print-config").stdout
    lines = dict(line.split(" = ", 1) for line in printed.splitlines())
    steps = preset_values("gradient", load(cartpole))["steps"]
    expected = {"student": "mlp", "task": "gym/CartPole-v1", "splits": ["test"], "steps": steps, "sizes": [5]}
    assert {name: json.loads(lines[name]) for name in expected} == expected
    assert {name for name in lines if name.endswith(("_steps", "_batch"))} == {
        f"{kind}_{of}" for kind in ("full", "small") for of in ("steps", "batch")
    }
    (tmp_path / "s.toml").write_text(printed)
    assert run("sweep", cartpole, "--config", tmp_path / "s.toml", "--print-config").stdout == printed
    short = ["sweep", cartpole, "--methods", "random", "--sizes", 5, *FEW[:-2], "-o", tmp_path / "t"]
    (tmp_path / "t.toml").write_text(run(*short, "--print-config").stdout)
    assert run(*short).exit_code == 0
    before = json.loads((tmp_path / "t" / "sweep.json").read_bytes())["returns_sha256"]
    assert run("sweep", cartpole, "--config", tmp_path / "t.toml").exit_code == 0  # it finds its own work
    assert json.loads((tmp_path / "t" / "sweep.json").read_bytes())["returns_sha256"] == before
    two = run("sweep", cartpole, "--methods", "gradient,labels", "--print-config").stdout
    assert "\nsteps = " not in two  # each has its own
    absent = run("sweep", tmp_path / "absent.h5", "--print-config")
    assert absent.exit_code == 0 and "student" not in absent.stdout.replace("students", "")
    assert "is no file" in absent.stderr
    study = tmp_path / "study.toml"
    study.write_text(f'datasets = ["{cartpole}"]\n')
    told = run("sweep", study, "--cores", 2, "--print-config")
    assert "cores = 2" in told.stdout and "methods" not in told.stdout and "says what the cells are" in told.stderr


def test_the_help_of_distill_groups_options_by_method() -> None:
    lines = run("distill", "--help").stdout.splitlines()
    titles = [line for line in lines if "Options of" in line]
    groups = [
        "every method",
        "gradient ",
        "unrolled, unrolled-labels",
        "kernel, unrolled-labels",
    ]
    assert all(any(f"Options of {group}" in title for title in titles) for group in groups)
    text = " ".join(lines)
    assert "[random|given|far-apart]" in text and "Of the labels'" in text  # what another method takes and says
    for option in ("--teacher-steps", "--distance", "--window", "--samples"):
        assert text.count(f"{option} ") >= 1, option
    assert sum("--samples " in line and "Samples of" in line for line in lines) == 1  # each once


def test_a_wrong_command_is_answered_with_the_right_one() -> None:
    fails(2, "did you mean 'evaluate'?", "evalute")
