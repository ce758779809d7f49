"""The command line: the whole pipeline, small, and an error of one line for every bad input."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer, ReplayBufferBase

from buffers import make_buffer
from commands import fails, run
from d3rlpy_distill import Distilled, OfflineDataset, TransitionArrays
from d3rlpy_distill.data import load_dataset, read_extras, read_info
from d3rlpy_distill.data.percentile import best_episodes
from d3rlpy_distill.methods.random import RandomCoreset
from procgen_datasets import load_expert

QUICK = ["--students", "1", "--episodes", "2", "--bc-steps", "2", "--bc-batch", "8", "--converged-steps", "2",
         "--synthetic-steps", "2"]  # fmt: skip
SMALL = ["--samples", 20, "--steps", 2]


def test_collect_prints_one_object_and_keeps_its_output(tmp_path: Path) -> None:
    out = tmp_path / "x.h5"
    first = run("collect", "starpilot", "--episodes", 2, "--out", out, "--json")
    assert first.exit_code == 0, first.output
    value = json.loads(first.stdout)
    info = read_info(out)
    assert value["transitions"] == info.num_transitions and value["content_sha256"] == info.content_sha256
    assert info.provenance is not None and info.provenance.task == "procgen/starpilot"
    before = out.read_bytes()
    same = ["--episodes", 2, "--expert", "starpilot", "--sampled", "--out", out]  # in the names of version 0.1
    assert run("collect", "procgen/starpilot", *same).exit_code == 0
    assert out.read_bytes() == before
    fails(1, "holds something else", "collect", "starpilot", "--episodes", 3, "--out", out)
    fails(1, "holds something else", "collect", "starpilot", *same[:2], "--num-levels", 100, "--out", out)
    assert out.read_bytes() == before


def test_outputs_are_named_after_what_they_are_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    collected = run("collect", "starpilot", "--episodes", 1, "--policy", "random")
    assert collected.exit_code == 0 and Path("data/starpilot.h5").exists()
    distilled = run("distill", "data/starpilot.h5", "--method", "random", "--samples", 5)
    assert distilled.exit_code == 0 and Path("data/starpilot-5.h5").exists(), distilled.output
    files, quick = ["data/starpilot.h5", "data/starpilot-5.h5"], ["--students", 1, "--episodes", 1]
    assert "into results/starpilot:" in run("evaluate", *files, *quick, "--dry-run").stdout
    named = run("evaluate", *files, *quick, "--student", "paper,mlp", "--dry-run")
    assert "into results/starpilot-paper-mlp:" in named.stdout
    assert not Path("results").exists()


def test_distilled_file_is_d3rlpys_and_records_where_it_came_from(
    distilled_file: Path, starpilot_file: Path
) -> None:
    with distilled_file.open("rb") as file:
        assert ReplayBuffer.load(file, InfiniteBuffer()).transition_count == 20
    info = read_info(distilled_file)
    assert info.provenance is not None and info.provenance.kind == "distilled"
    assert info.provenance.settings["source_sha256"] == read_info(starpilot_file).content_sha256
    assert info.provenance.settings["config"]["distance"]
    assert read_extras(distilled_file, "initial")["observations"].shape == (20, 3, 64, 64)


def test_the_command_gives_what_the_library_gives(
    distilled_file: Path, starpilot_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again.h5"
    result = run("distill", starpilot_file, *SMALL, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert (value["samples"], value["steps"], value["bytes"]) == (20, 2, out.stat().st_size)
    assert result.stdout.count("\n") == 1 and result.stderr == ""
    assert read_info(out).content_sha256 == read_info(distilled_file).content_sha256
    provenance = read_info(out).provenance
    assert provenance is not None and provenance.command.startswith("rld-distill")
    before = out.read_bytes()
    again = run("distill", starpilot_file, *SMALL, "--out", out, "--json")
    assert json.loads(again.stdout)["seconds"] == 0 and out.read_bytes() == before
    fails(1, "holds something else", "distill", starpilot_file, *SMALL, "--seed", 1, "--out", out)


def test_the_best_episodes_alone_are_distilled_if_asked_for(
    distilled_file: Path, starpilot_file: Path, starpilot_dataset: OfflineDataset, tmp_path: Path
) -> None:
    out = tmp_path / "best.h5"
    result = run("distill", starpilot_file, *SMALL, "--percent", 30, "--out", out)
    assert result.exit_code == 0 and "samples from the best 30% of " in result.stdout
    started = starpilot_dataset.transitions.episodes[read_extras(out, "initial")["transition"]]
    best = best_episodes(starpilot_dataset.buffer, 30)
    assert set(started) <= set(best) and len(best) < len(starpilot_dataset.buffer.episodes)
    info = read_info(out)
    assert info.provenance is not None and info.provenance.settings["config"]["percent"] == 30
    everything = tmp_path / "all.h5"
    assert "the best" not in run("distill", starpilot_file, *SMALL, "--percent", 100, "--out", everything).stdout
    assert read_info(everything).content_sha256 == read_info(distilled_file).content_sha256
    fails(2, "0 is not in the range 0<x<=100", "distill", starpilot_file, "--percent", 0)
    fails(1, "expected at least n_samples=999", "distill", starpilot_file, "--percent", 10, "--samples", 999)


def test_what_is_typed_for_none_is_none(starpilot_file: Path, tmp_path: Path) -> None:
    off = ["--sharpness", 0, "--shared-observations", 0, "--real-batch-size", 0, "--percent", 100]
    result = run("distill", starpilot_file, "--samples", 5, "--steps", 0, *off, "--out", tmp_path / "x.h5")
    assert result.exit_code == 0, result.output
    provenance = read_info(tmp_path / "x.h5").provenance
    assert provenance is not None
    config = provenance.settings["config"]
    assert [config[name] for name in ("sharpness", "shared_observations", "real_batch_size", "percent")] == [
        None
    ] * 4


def test_a_coreset_is_a_method(starpilot_file: Path, starpilot_dataset: OfflineDataset, tmp_path: Path) -> None:
    out = tmp_path / "herding.h5"
    result = run("distill", starpilot_file, "--method", "herding", "--samples", 12, "--out", out)
    assert result.exit_code == 0 and "12 samples" in result.stdout and "0 steps" in result.stdout
    chosen = Distilled.load(out)
    assert chosen.sources is not None and len(chosen) == 12
    real = starpilot_dataset.transitions.observations[chosen.sources]
    np.testing.assert_array_equal(chosen.samples.observations, real)


def test_evaluate_report_and_gallery(distilled_file: Path, starpilot_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = run("evaluate", starpilot_file, distilled_file, "--out", out, *QUICK, "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    kept = json.loads((out / "results.json").read_text())
    assert value == {key: kept[key] for key in value} and (out / "results.npz").exists()
    assert set(value) == {"schema", "task", "protocol", "provenance", "splits", "arms"}
    keys = "name kind labels split mode mean std iqm ci95 n_students n_episodes samples bytes train_seconds normalised"
    always = set(keys.split())
    some = {"size", "student", "of", "teachers"}
    assert all(always <= set(arm) <= always | some for arm in value["arms"]) and len(value["arms"]) == 12 * 4
    budgets = value["protocol"]["budgets"]["paper"]  # what is given, and the student's own batch on small sets
    assert budgets == {"full": {"n_steps": 2, "batch_size": 8}, "small": {"n_steps": 2, "batch_size": 15}}
    assert value["provenance"]["machine"]["cores"] >= 1
    again = run("evaluate", starpilot_file, distilled_file, "--out", out, *QUICK)
    assert again.exit_code == 0 and "| distilled-20 |" in again.stdout
    report = run("report", out, "--format", "md")
    assert report.exit_code == 0 and report.stdout == again.stdout
    gallery = run("gallery", distilled_file, "--out", tmp_path / "g.png", "--frames", 3)
    assert gallery.exit_code == 0 and (tmp_path / "g.png").exists()
    other = ["--out", out, *QUICK, "--episodes", 3]
    fails(1, "differs in episodes", "evaluate", starpilot_file, distilled_file, *other)


def test_evaluate_takes_students_splits_coresets_and_further_files(
    starpilot_file: Path, distilled_file: Path, tmp_path: Path
) -> None:
    few = ["--students", 2, "--episodes", 1, "--full-steps", 1, "--full-batch", 4, "--small-steps", 1,
           "--small-batch", 4]  # fmt: skip
    files = [starpilot_file, distilled_file]
    chosen = ["--coresets", "herding", "--also", f"twin-20={distilled_file}", "--splits", "validation",
              "--arms", "expert,herding-20,distilled-20,twin-20"]  # fmt: skip
    result = run("evaluate", *files, *few, *chosen, "--out", tmp_path / "a", "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert list(dict.fromkeys(arm["name"] for arm in value["arms"])) == [
        "expert", "herding-20", "distilled-20", "twin-20",
    ]  # fmt: skip
    assert list(value["splits"]) == ["validation"]
    several = ["--student", "mlp,dqn", "--arms", "mlp-distilled-20,dqn-distilled-20", "--splits", "id"]
    compared = run("evaluate", *files, *few, *several, "--out", tmp_path / "b", "--json")
    assert compared.exit_code == 0, compared.output
    assert {arm["student"] for arm in json.loads(compared.stdout)["arms"]} == {"mlp", "dqn"}


def test_evaluate_names_what_is_off(starpilot_file: Path, distilled_file: Path, tmp_path: Path) -> None:
    files = ["evaluate", starpilot_file, distilled_file, "--out", tmp_path / "r"]
    fails(2, "arm 'bc-99': expected some of random-policy,expert,bc-10,", *files, "--arms", "bc-99")
    fails(2, "expected NAME=FILE", *files, "--also", "paper")
    fails(2, "the table has an arm of that name", *files, "--also", f"random-150={distilled_file}")
    fails(2, "expected a name of letters", *files, "--also", f"a/b={distilled_file}")
    fails(1, "was not distilled from", *files, "--also", f"x={starpilot_file}")
    fails(2, "did you mean 'impala'", *files, "--student", "impla")
    fails(2, "names one twice", *files, "--student", "mlp,mlp")
    fails(2, "expected some of balanced, herding", *files, "--coresets", "herdin")
    fails(2, "procgen/starpilot has id, ood, validation", *files, "--splits", "test")
    fails(2, "expected numbers of 1 or more with commas between", *files, "--random-soft", "150,x")
    fails(2, "the sets have no teachers", *files, "--random-soft", "150")
    fails(2, "did you mean 'procgen/bigfish'", *files, "--task", "bigfis")
    fails(2, "Missing argument", "evaluate", starpilot_file)
    assert list(tmp_path.iterdir()) == []


def test_options_of_version_0_1_work_and_warn_once(
    starpilot_file: Path, distilled_file: Path, tmp_path: Path
) -> None:
    def warned(*args: object) -> str:
        result = run(*args)
        assert result.exit_code == 0, result.output
        assert result.stderr.startswith("Warning: ") and result.stderr.count("\n") == 1
        return result.stderr

    small = ["distill", starpilot_file, "--samples", 5, "--steps", 1]
    assert "--student dqn" in warned(*small, "--learner", "dqn", "--out", tmp_path / "q.h5")
    provenance = read_info(tmp_path / "q.h5").provenance
    assert provenance is not None and "q_func_factory" in provenance.settings["config"]["learner"]
    assert "leave it out" in warned(*small, "--learner", "bc", "--out", tmp_path / "bc.h5")
    assert run(*small, "--out", tmp_path / "own.h5").exit_code == 0
    assert read_info(tmp_path / "bc.h5").content_sha256 == read_info(tmp_path / "own.h5").content_sha256
    few = ["evaluate", starpilot_file, distilled_file, *QUICK, "--dry-run"]
    assert "--student bc,dqn" in warned(*few, "--algos", "bc,dqn")
    assert "--splits id,validation" in warned(*few, "--unseen-levels", "validation")
    assert "on id, validation, sampled" in run(*few, "--unseen-levels", "validation").stdout
    fails(2, "give one of the two", *small, "--learner", "dqn", "--student", "cql")
    fails(2, "give one of the two", *few, "--algos", "bc", "--student", "cql")
    fails(2, "give one of the two", *few, "--unseen-levels", "all", "--splits", "id")


def test_paper_preset_matches_at_the_expert(starpilot_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper.h5"
    result = run("distill", starpilot_file, "--preset", "paper", "--samples", 30, "--steps", 1, "--out", out)
    assert result.exit_code == 0, result.output
    provenance = read_info(out).provenance
    assert provenance is not None
    config = provenance.settings["config"]
    chosen = {k: config[k] for k in ("theta", "optimizer", "learning_rate", "momentum", "allocation", "grouping")}
    assert chosen == {
        "theta": "given", "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.5, "allocation": "even",
        "grouping": "action",
    }  # fmt: skip


def test_config_files_and_print_config(tmp_path: Path, starpilot_file: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('samples = 25\nlearning-rate = 3.5\ndistance = "l2"\n')
    printed = run("distill", starpilot_file, "--config", config, "--samples", 30, "--print-config")
    assert printed.exit_code == 0
    lines = printed.stdout.splitlines()
    assert "samples = 30" in lines and "learning_rate = 3.5" in lines and 'distance = "l2"' in lines
    again = tmp_path / "d.toml"
    again.write_text(printed.stdout)
    assert run("distill", starpilot_file, "--config", again, "--print-config").stdout == printed.stdout
    config.write_text("sample = 25\n")
    fails(2, "sets 'sample': expected one of", "distill", starpilot_file, "--config", config)
    config.write_text("samples = [")
    fails(2, "not valid TOML", "distill", starpilot_file, "--config", config)
    for text, message in (
        ("methods = 5", "sets methods = 5: expected a list, or a text with commas"),
        ("students = 2.9", "sets students = 2.9: expected a whole number"),
        ("seeds = true", "sets seeds = True: expected a whole number"),
        ("full = 1", "sets full = 1: expected true or false"),
        ("out = [5]", "expected a text or a number"),
        ('plugin = "a.py"', "sets plugin = 'a.py': expected a list of texts"),
        ("[steps]", "sets steps = {}: expected a whole number"),
    ):
        config.write_text(text)
        fails(2, message, "sweep", starpilot_file, "--config", config)
    config.write_text("learning_rate = true")
    fails(2, "sets learning_rate = True: expected a number", "distill", starpilot_file, "--config", config)


def test_a_config_file_names_the_method_whose_options_it_sets(tmp_path: Path, starpilot_file: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('method = "unrolled"\nwindow = 3\n')
    printed = run("distill", starpilot_file, "--config", config, "--print-config")
    assert {'method = "unrolled"', "window = 3"} <= set(printed.stdout.splitlines()), printed.output
    gradient = ["distill", starpilot_file, "--config", config, "--method", "gradient"]
    fails(2, "sets 'window': expected one of", *gradient)
    config.write_text('expert = "random"\nepisodes = 3\n')  # the name of version 0.1
    collected = run("collect", "starpilot", "--config", config, "--print-config")
    assert {'policy = "random"', "episodes = 3"} <= set(collected.stdout.splitlines()), collected.output


def test_dry_runs_do_nothing(starpilot_file: Path, distilled_file: Path, tmp_path: Path) -> None:
    for args in (
        ("collect", "starpilot", "--out", tmp_path / "a.h5"),
        ("distill", starpilot_file, "--samples", 20, "--out", tmp_path / "b.h5"),
        ("distill", starpilot_file, "--samples", 20, "--method", "labels", "--out", tmp_path / "b.h5"),
        ("evaluate", starpilot_file, distilled_file, "--out", tmp_path / "c", *QUICK),
    ):
        result = run(*args, "--dry-run", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["seconds"] > 0
    coreset = run("distill", starpilot_file, "--method", "random", "--out", tmp_path / "d.h5", "--dry-run")
    assert coreset.exit_code == 0 and f"0 steps, into {tmp_path / 'd.h5'}." in coreset.stdout
    assert list(tmp_path.iterdir()) == []


def test_datasets_list_show_make(tmp_path: Path, starpilot_file: Path) -> None:
    assert "starpilot-expert" in run("datasets", "list").stdout
    shown = json.loads(run("datasets", "show", "starpilot-expert", "--json").stdout)
    assert shown["collect"]["episodes"] == 100
    assert json.loads(run("datasets", "show", starpilot_file, "--json").stdout)["num_episodes"] == 6
    fails(2, "did you mean 'starpilot-expert'", "datasets", "show", "starpilot-exprt")
    made = run("datasets", "make", "starpilot-soft-150", "--data-directory", tmp_path)
    assert made.exit_code == 0 and "150 episodes, 150 transitions" in made.stdout
    assert Distilled.load(tmp_path / "starpilot-soft-150.h5").soft
    fails(2, "did you mean 'starpilot-soft-150'", "datasets", "make", "starpilot-sof-150")


def test_list_shows_what_there_is_each_with_a_line() -> None:
    for kind, names in {
        "methods": {"gradient", "unrolled", "labels"},
        "coresets": {"random", "balanced", "prior", "herding", "k-center"},
        "students": {"paper", "impala", "impala-s2d", "nature", "mlp", "cql", "bcq", "dqn", "sac", "dt"},
        "tasks": {"gym", "procgen/starpilot", "procgen/bigfish"},
        "datasets": {"starpilot-expert", "starpilot-soft-150"},
    }.items():
        entries = json.loads(run("list", kind, "--json").stdout)[kind]
        listed = {entry["name"]: entry["line"] for entry in entries}
        assert names <= set(listed) and all(listed.values())
        lines = run("list", kind).stdout.splitlines()
        assert lines == [f"{name}  {line}" for name, line in listed.items()]
    assert not {"herding", "random"} & {
        e["name"] for e in json.loads(run("list", "methods", "--json").stdout)["methods"]
    }
    fails(2, "did you mean 'students'?", "list", "student")


def test_help_loads_no_torch_and_lists_every_command() -> None:
    code = (
        "import sys\nfrom rld_distill.group import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    for name in ("collect", "distill", "evaluate", "sweep", "report", "gallery", "play", "list", "datasets",
                 "train-expert", "quickstart"):  # fmt: skip
        assert name in out


def test_help_shows_the_options_of_what_is_named() -> None:
    def told(*args: object) -> str:
        result = run(*args, "--help")
        assert result.exit_code == 0, result.output
        return " ".join(result.stdout.split())

    gradient, labels = told("distill", "--method", "gradient"), told("distill", "--method", "labels")
    assert "Options of --method gradient" in gradient and "--distance" in gradient
    assert "--teacher-steps" not in gradient and "--method labels --help" in gradient
    assert "Options of --method labels" in labels and "--teacher-steps" in labels and "--distance" not in labels
    every, one = told("collect"), told("collect", "starpilot")
    assert "--episodes" in every and "--num-levels" not in every and "collect TASK --help" in every
    assert "Options of procgen/starpilot" in one and "--num-levels" in one


def test_usage_errors(starpilot_file: Path) -> None:
    fails(2, "did you mean 'procgen/starpilot'?", "collect", "starpilo")
    fails(2, "did you mean 'procgen/starpilot'?", "collect", "starpilo", "--num-levels", 3)
    fails(2, "did you mean 'labels'?", "distill", starpilot_file, "--method", "lables")
    fails(2, "did you mean 'nature'?", "distill", starpilot_file, "--student", "natur")
    fails(2, "did you mean 'starpilot-expert'?", "distill", "starpilot-exprt")
    fails(2, "'abc' is not a valid integer", "distill", starpilot_file, "--samples", "abc")
    fails(2, "0 is not in the range x>=1", "distill", starpilot_file, "--samples", "0")
    fails(2, "No such option", "distill", starpilot_file, "--sample", "3")
    fails(2, "Missing argument", "distill")
    fails(2, "expected one of default, paper", "distill", starpilot_file, "--preset", "best")
    fails(2, "-1.0 is not in the range x>0", "distill", starpilot_file, "--learning-rate", "-1")
    fails(2, "learning_rate=nan: expected above 0", "distill", starpilot_file, "--learning-rate", "nan")
    fails(2, "'l3' is not one of 'l2', 'cosine'", "distill", starpilot_file, "--distance", "l3")
    fails(2, "did you mean 'distill'?", "destill")
    fails(2, "No such command", "xyz")
    fails(2, "is no torch device", "collect", "starpilot", "--device", "gpu")
    fails(2, "ignores the start", "collect", "starpilot", "--start-level", "5", "--num-levels", "0")
    fails(2, "is the dataset itself", "distill", starpilot_file, "--out", starpilot_file)


def test_an_option_of_another_method_says_whose_it_is(starpilot_file: Path) -> None:
    distill = ["distill", starpilot_file]
    one_of_them = "--window is for --method unrolled or unrolled-labels: leave it out, or give one of them."
    fails(2, one_of_them, *distill, "--window", 3)
    fails(2, "--ridge is for --method kernel", *distill, "--ridge", 0.1)
    labels = [*distill, "--method", "labels"]
    fails(2, "--distance is for --method gradient: leave it out", *labels, "--distance", "l2")
    fails(2, "--momentum is for --method gradient", *labels, "--momentum", 0.5)
    fails(2, "the method 'gradient' takes no teachers", *distill, "--teachers", "x.h5")


def test_missing_gpu_is_named(starpilot_file: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    fails(1, "this machine has 0 GPUs", "distill", starpilot_file, "--device", "cuda:0")


def test_bad_datasets_are_named(starpilot_file: Path, distilled_file: Path, tmp_path: Path) -> None:
    cut, text, foreign, small = (tmp_path / n for n in ("cut.h5", "text.h5", "foreign.h5", "small.h5"))
    cut.write_bytes(starpilot_file.read_bytes()[:50_000])
    text.write_text("hello")
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    with small.open("w+b") as raw:
        make_buffer([9, 9], action_size=15, shape=(3, 32, 32)).dump(raw)
    before = sorted(tmp_path.iterdir())
    for path, message in (
        (tmp_path / "absent.h5", "does not exist"),
        (cut, "cut short"),
        (text, "cannot be read"),
        (foreign, "not a complete d3rlpy dataset"),
    ):
        fails(1, message, "distill", path)
        fails(1, message, "evaluate", path, distilled_file, "--out", tmp_path / "r")
        fails(1, message, "evaluate", starpilot_file, path, "--out", tmp_path / "r")
        fails(1, message, "gallery", path, "--out", tmp_path / "g.png")
    task = ["--task", "procgen/starpilot", "--out", tmp_path / "r"]
    fails(1, "expected observations of shape (3, 64, 64)", "evaluate", small, distilled_file, *task)
    fails(2, "does not record its task", "evaluate", small, distilled_file, *task[2:])
    fails(1, "n_samples=99999: expected 1 to", "distill", starpilot_file, "--samples", 99999)
    fails(1, "was not distilled from", "evaluate", distilled_file, distilled_file, "--out", tmp_path / "r")
    fails(1, "does not exist", "report", tmp_path / "absent")
    assert sorted(tmp_path.iterdir()) == before


def test_bad_experts_are_named(tmp_path: Path) -> None:
    other, text, nan = (
        tmp_path / "other.safetensors",
        tmp_path / "text.safetensors",
        tmp_path / "nan.safetensors",
    )
    safetensors.torch.save_file({"blocks.0.conv.weight": torch.zeros(16, 5, 3, 3)}, other)
    text.write_text("hello")
    weights = {k: v.float().contiguous() for k, v in load_expert("starpilot").network.state_dict().items()}
    weights["fc.bias"] = weights["fc.bias"] * torch.nan
    safetensors.torch.save_file(weights, nan)
    out = tmp_path / "x.h5"
    for expert, message in (
        (other, "another architecture"),
        (text, "no safetensors file"),
        (nan, "NaN"),
        (tmp_path / "absent.safetensors", "does not exist"),
        ("bigfsh", "bundled are"),
    ):
        fails(1, message, "collect", "starpilot", "--expert", expert, "--out", out)
    fails(1, "plays bigfish, not starpilot", "collect", "starpilot", "--policy", "bigfish", "--out", out)
    assert not out.exists()


def test_a_dataset_of_another_program_is_distilled_as_the_task_that_is_named(tmp_path: Path) -> None:
    path, out = tmp_path / "foreign.h5", tmp_path / "out.h5"
    with path.open("w+b") as raw:
        make_buffer([9, 9], action_size=3, shape=(3, 64, 64)).dump(raw)
    few = ["--method", "random", "--samples", 5, "--out", out]
    assert run("distill", path, "--task", "starpilot", *few).exit_code == 0
    provenance = read_info(out).provenance
    assert provenance is not None and (provenance.task, provenance.action_size) == ("procgen/starpilot", 15)
    fails(2, "did you mean 'procgen/starpilot'", "distill", path, "--task", "starpilt", *few)


def test_an_action_that_never_occurs_is_left_out(tmp_path: Path, starpilot: ReplayBufferBase) -> None:
    episode = starpilot.episodes[0]
    only = Episode(episode.observations, np.where(episode.actions == 7, 6, episode.actions), episode.rewards, True)
    path = tmp_path / "no7.h5"
    with path.open("w+b") as file:
        ReplayBuffer(InfiniteBuffer(), episodes=[only], action_size=15).dump(file)
    out = tmp_path / "out.h5"
    result = run("distill", path, "--samples", 20, "--steps", 1, "--allocation", "even", "--out", out)
    assert result.exit_code == 0, result.output
    assert 7 not in np.concatenate([e.actions for e in load_dataset(out)[0].episodes])


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on file size stands for a full disk: both end a write with an error number."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    out = str(tmp_path / "x.h5")
    command = [sys.executable, "-m", "rld_distill", "collect", "starpilot", "--episodes", "4", "--out", out]
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert result.returncode == 1, result.stderr
    assert "no space left" in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_interrupted_distillation_resumes(tmp_path: Path, starpilot_file: Path) -> None:
    """A real ``kill -9``: the checkpoint survives, the output does not exist, the next run ends the same."""
    out, whole = tmp_path / "a.h5", tmp_path / "b.h5"
    args = ["distill", str(starpilot_file), "--samples", "5", "--steps", "90", "--theta", "random"]
    args += ["--real-batch-size", "16"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rld_distill", *args, "--out", str(out)], stdout=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "a.h5.checkpoint"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert run(*args, "--out", out).exit_code == 0 and not checkpoint.exists()
    assert run(*args, "--out", whole).exit_code == 0
    assert read_info(out).content_sha256 == read_info(whole).content_sha256


def test_ctrl_c_ends_with_one_line(tmp_path: Path, starpilot_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes while samples are chosen."""

    def interrupted(self: RandomCoreset, data: TransitionArrays, rng: np.random.Generator) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RandomCoreset, "choose", interrupted)
    result = run("distill", starpilot_file, "--method", "random", "--out", tmp_path / "a.h5")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted: run the same command again to go on.\n" and result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_progress_is_silent_off_a_terminal(tmp_path: Path) -> None:
    result = run("collect", "starpilot", "--episodes", 1, "--out", tmp_path / "x.h5")
    assert result.exit_code == 0 and result.stderr == ""
    assert result.stdout.count("\n") == 1
