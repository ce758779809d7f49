"""The command line: the whole pipeline, small, and an error of one line for every bad input."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer

from buffers import make_buffer
from commands import fails, run
from d3rlpy_distill import TransitionArrays
from d3rlpy_distill.selection import best_episodes
from procgen_datasets import load_dataset, read_info
from procgen_datasets.hdf5 import read_extras

QUICK = ["--students", "1", "--episodes", "2", "--bc-steps", "2", "--bc-batch", "8", "--converged-steps", "2",
         "--synthetic-steps", "2"]  # fmt: skip


def test_collect_prints_one_object_and_keeps_its_output(tmp_path: Path) -> None:
    out = tmp_path / "x.h5"
    first = run("collect", "starpilot", "--episodes", 2, "--out", out, "--json")
    assert first.exit_code == 0, first.output
    value = json.loads(first.stdout)
    info = read_info(out)
    assert value["transitions"] == info.num_transitions and value["content_sha256"] == info.content_sha256
    before = out.read_bytes()
    assert run("collect", "starpilot", "--episodes", 2, "--out", out).exit_code == 0
    assert out.read_bytes() == before
    fails(1, "holds something else", "collect", "starpilot", "--episodes", 3, "--out", out)
    assert out.read_bytes() == before


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


def test_the_same_seed_gives_the_same_bytes(distilled_file: Path, starpilot_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.h5"
    run("distill", starpilot_file, "--samples", 20, "--steps", 2, "--out", out)
    assert read_info(out).content_sha256 == read_info(distilled_file).content_sha256


def test_the_best_episodes_alone_are_distilled_if_asked_for(
    distilled_file: Path, starpilot_file: Path, tmp_path: Path
) -> None:
    out, common = tmp_path / "best.h5", ("--samples", 20, "--steps", 2)
    result = run("distill", starpilot_file, *common, "--percent", 30, "--out", out)
    assert result.exit_code == 0 and "samples from the best 30% of " in result.stdout
    buffer = load_dataset(starpilot_file)[0]
    transitions = TransitionArrays.from_buffer(buffer)
    started = transitions.episodes[read_extras(out, "initial")["transition"]]
    best = best_episodes(buffer, 30)
    assert set(started) <= set(best) and len(best) < len(buffer.episodes)
    info = read_info(out)
    assert info.provenance is not None and info.provenance.settings["config"]["percent"] == 30
    everything = tmp_path / "all.h5"
    assert "the best" not in run("distill", starpilot_file, *common, "--percent", 100, "--out", everything).stdout
    assert read_info(everything).content_sha256 == read_info(distilled_file).content_sha256
    fails(2, "0 is not in the range 0<x<=100", "distill", starpilot_file, "--percent", 0)
    fails(1, "expected at least n_samples=999", "distill", starpilot_file, "--percent", 10, "--samples", 999)


def test_evaluate_report_and_gallery(distilled_file: Path, starpilot_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = run("evaluate", starpilot_file, distilled_file, "--out", out, *QUICK, "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert value == json.loads((out / "results.json").read_text())
    assert set(value) == {"game", "protocol", "provenance", "arms"}
    keys = "name split mode mean std iqm ci95 normalised n_students n_episodes samples bytes train_seconds returns"
    assert all(set(arm) == set(keys.split()) for arm in value["arms"]) and len(value["arms"]) == 12 * 4
    assert value["provenance"]["machine"]["cores"] >= 1
    again = run("evaluate", starpilot_file, distilled_file, "--out", out, *QUICK)
    assert again.exit_code == 0 and "| distilled-20 |" in again.stdout
    report = run("report", out, "--format", "md", "--figures", tmp_path / "figures")
    assert report.exit_code == 0 and report.stdout == again.stdout
    assert (tmp_path / "figures" / "figure-4-ood.png").exists()
    gallery = run("gallery", distilled_file, "--out", tmp_path / "g.png", "--frames", 3)
    assert gallery.exit_code == 0 and (tmp_path / "g.png").exists()
    fails(
        1,
        "differs in episodes",
        "evaluate",
        starpilot_file,
        distilled_file,
        "--out",
        out,
        *QUICK,
        "--episodes",
        3,
    )


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
    assert list(tmp_path.iterdir()) == []


def test_datasets_list_show_make(tmp_path: Path, starpilot_file: Path) -> None:
    assert "starpilot-expert" in run("datasets", "list").stdout
    shown = json.loads(run("datasets", "show", "starpilot-expert", "--json").stdout)
    assert shown["collect"]["episodes"] == 100
    assert json.loads(run("datasets", "show", starpilot_file, "--json").stdout)["num_episodes"] == 6
    fails(1, "did you mean 'starpilot-expert'", "datasets", "show", "starpilot-exprt")


def test_help_loads_no_torch_and_lists_every_command() -> None:
    code = (
        "import sys\nfrom rld_distill.main import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    for name in ("collect", "distill", "evaluate", "report", "gallery", "datasets", "quickstart"):
        assert name in out


def test_usage_errors(starpilot_file: Path, tmp_path: Path) -> None:
    fails(2, "did you mean 'starpilot'?", "collect", "starpilo")
    fails(2, "'abc' is not a valid integer", "distill", starpilot_file, "--samples", "abc")
    fails(2, "0 is not in the range x>=1", "distill", starpilot_file, "--samples", "0")
    fails(2, "No such option", "distill", starpilot_file, "--sample", "3")
    fails(2, "Missing argument", "distill")
    fails(2, "is not one of", "distill", starpilot_file, "--preset", "best")
    fails(2, "learning_rate=-1.0", "distill", starpilot_file, "--learning-rate", "-1")
    fails(2, "No such command", "destill")
    fails(2, "is no torch device", "collect", "starpilot", "--device", "gpu")
    fails(2, "ignores the start", "collect", "starpilot", "--start-level", "5", "--num-levels", "0")
    fails(2, "is the dataset itself", "distill", starpilot_file, "--out", starpilot_file)


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
    fails(1, "expected (3, 64, 64)", "evaluate", small, distilled_file, "--out", tmp_path / "r")
    fails(1, "n_samples=99999: expected 1 to", "distill", starpilot_file, "--samples", 99999)
    fails(1, "was not distilled from", "evaluate", distilled_file, distilled_file, "--out", tmp_path / "r")
    fails(1, "does not record the frames", "gallery", starpilot_file, "--out", tmp_path / "g.png")
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
    from procgen_datasets import load_expert

    weights = {k: v.float().contiguous() for k, v in load_expert("starpilot").network.state_dict().items()}
    weights["fc.bias"] = weights["fc.bias"] * torch.nan
    safetensors.torch.save_file(weights, nan)
    out = tmp_path / "x.h5"
    for expert, message in (
        (other, "another architecture"),
        (text, "not a readable safetensors file"),
        (nan, "NaN"),
        (tmp_path / "absent.safetensors", "does not exist"),
        ("bigfsh", "bundled are"),
    ):
        fails(1, message, "collect", "starpilot", "--expert", expert, "--out", out)
    assert not out.exists()


def test_an_action_that_never_occurs_is_left_out(tmp_path: Path, starpilot: ReplayBuffer) -> None:
    episode = starpilot.episodes[0]
    from d3rlpy.dataset import Episode

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

    out = tmp_path / "x.h5"
    command = [
        sys.executable,
        "-m",
        "rld_distill",
        "collect",
        "starpilot",
        "--episodes",
        "4",
        "--out",
        str(out),
    ]
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert result.returncode == 1, result.stderr
    assert "no space left" in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_interrupted_distillation_resumes(tmp_path: Path, starpilot_file: Path) -> None:
    """A real ``kill -9``: the checkpoint survives, the output does not exist, the next run ends the same."""
    out, whole = tmp_path / "a.h5", tmp_path / "b.h5"
    args = ["distill", str(starpilot_file), "--samples", "15", "--steps", "110", "--real-batch-size", "8"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rld_distill", *args, "--out", str(out)], stdout=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "a.h5.checkpoint"
    while not checkpoint.exists():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert run(*args, "--out", out).exit_code == 0 and not checkpoint.exists()
    assert run(*args, "--out", whole).exit_code == 0
    assert read_info(out).content_sha256 == read_info(whole).content_sha256


def test_progress_is_silent_off_a_terminal(tmp_path: Path) -> None:
    result = run("collect", "starpilot", "--episodes", 1, "--out", tmp_path / "x.h5")
    assert result.exit_code == 0 and result.stderr == ""
    assert result.stdout.count("\n") == 1


def test_quickstart_passes_what_its_commands_take(
    starpilot_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The four steps on six episodes: collecting finds its file made, students and episodes are one each."""
    from rld_distill.commands import collect, quickstart

    for name in ("STUDENTS", "EPISODES", "BC_STEPS", "CONVERGED_STEPS", "DISTILL_STEPS"):
        monkeypatch.setattr(quickstart, name, 1)
    copied = tmp_path / "starpilot.h5"
    copied.write_bytes(starpilot_file.read_bytes())
    monkeypatch.setattr(collect.command, "callback", lambda **options: None)
    result = run("quickstart", "--out", tmp_path)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "| distilled-150 |" in result.stdout
    assert (tmp_path / "starpilot-150.png").exists()
