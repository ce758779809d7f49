"""Training experts: exact resumption, settings, exports and the errors."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import Result
from stable_baselines3 import PPO as StableBaselinesPPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger

from commands import fails, run
from d3rlpy_distill import make_task
from d3rlpy_distill.errors import OutputExistsError, SettingsError
from d3rlpy_distill.files import load_state, save_state
from d3rlpy_distill.students.impala_encoder import ARCHITECTURES, ImpalaNetwork, max_pool
from procgen_datasets import Levels, ProcgenVecEnv, load_expert
from procgen_datasets.errors import TrainingError, TrainingSettingsError
from procgen_datasets.expert import bundled_experts
from procgen_datasets.training import (
    CurvePoint,
    TrainExpertConfig,
    TrainResult,
    export_expert,
    export_run,
    train_expert,
)
from procgen_datasets.training.card import card_markdown
from procgen_datasets.training.command import ProcgenTrainSettings
from procgen_datasets.training.environment import NormalisedRewards, Sb3ProcgenEnv
from procgen_datasets.training.phasic import PhasicPPO, fall
from procgen_datasets.training.policy import ImpalaPolicy, fold
from procgen_datasets.training.run import build_learner

ROOT = Path(__file__).parent.parent
ROLLOUT = 8 * 32
CONFIG = TrainExpertConfig(
    "starpilot",
    "impoola-s2d",
    steps=3 * ROLLOUT,
    envs=8,
    horizon=32,
    epochs=2,
    phase=1,
    minibatches=4,
    annealing=4 * ROLLOUT,
    seed=1,
    evaluate_every=2 * ROLLOUT,
    evaluation_episodes=2,
)
FLAGS = ["--steps", "768", "--envs", "8", "--horizon", "32", "--epochs", "2", "--phase", "1", "--minibatches", "4",
         "--architecture", "impoola-s2d",
         "--seed", "1", "--card-episodes", "2"]  # fmt: skip
PPO = dataclasses.replace(CONFIG, architecture="impala-s2d", phase=0, annealing=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """Three updates without a pause."""
    directory = tmp_path_factory.mktemp("whole")
    return directory, train_expert(CONFIG, directory)


def same(a: TrainResult, b: TrainResult) -> bool:
    curves = [[dataclasses.replace(p, seconds=0.0) for p in r.curve] for r in (a, b)]
    return curves[0] == curves[1] and all(torch.equal(a.weights[k], b.weights[k]) for k in a.weights)


def test_a_paused_run_ends_bit_for_bit_as_one_that_was_not(
    tmp_path: Path, whole: tuple[Path, TrainResult]
) -> None:
    paused = train_expert(CONFIG, tmp_path, max_minutes=1e-9)
    assert not paused.finished and paused.steps == ROLLOUT
    assert not same(paused, whole[1])
    again = train_expert(CONFIG, tmp_path, resume=True, max_minutes=1e-9)
    assert not again.finished and again.steps == 2 * ROLLOUT
    assert same(train_expert(CONFIG, tmp_path, resume=True), whole[1])
    assert same(train_expert(CONFIG, tmp_path, resume=True), whole[1])  # nothing left to do


@pytest.mark.slow
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(
    tmp_path: Path, whole: tuple[Path, TrainResult]
) -> None:
    """A real ``kill -9``, wherever it hits after the first checkpoint."""
    code = (
        "from test_train_expert import CONFIG; from procgen_datasets.training import train_expert; import sys;"
        "import torch; torch.set_num_threads(int(sys.argv[2])); train_expert(CONFIG, sys.argv[1])"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(torch.get_num_threads())],
        env=env,
        stdout=subprocess.DEVNULL,
    )
    while not (tmp_path / "checkpoint.pt").exists():
        assert process.poll() is None
        time.sleep(0.02)  # the core is the run's
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert same(train_expert(CONFIG, tmp_path, resume=True), whole[1])


def test_the_curve_and_the_snapshots(whole: tuple[Path, TrainResult]) -> None:
    directory, result = whole
    with (directory / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["steps"]) for row in rows] == [ROLLOUT, 2 * ROLLOUT, 3 * ROLLOUT]
    assert [row["validation_return"] != "" for row in rows] == [False, True, True]
    seconds = [point.seconds for point in result.curve]
    assert seconds == sorted(seconds) and seconds[0] > 0
    kept = sorted(path.stem for path in (directory / "snapshots").iterdir())
    assert kept == [f"{2 * ROLLOUT:09d}", f"{3 * ROLLOUT:09d}"]
    last = safetensors.torch.load_file(directory / "snapshots" / f"{kept[-1]}.safetensors")
    assert all(torch.equal(last[k], result.weights[k]) for k in last)


def test_entropy_of_the_first_policy_is_nearly_uniform(whole: tuple[Path, TrainResult]) -> None:
    assert whole[1].curve[0].entropy == pytest.approx(np.log(15), abs=0.01)


def test_rewards_are_divided_by_the_running_std_of_the_discounted_return() -> None:
    """Against brute force over every discounted return so far, after 1e-4 pseudo-observations of N(0, 1)."""
    gamma, prior = 0.9, 1e-4
    env = Sb3ProcgenEnv(ProcgenVecEnv("starpilot", 4, levels=Levels(0, 200), rand_seed=0))
    normalised = NormalisedRewards(env, norm_obs=False, gamma=gamma)
    normalised.reset()
    rng = np.random.default_rng(0)
    running, seen, rewarded = np.zeros(4), np.zeros(0), 0
    for _ in range(200):
        observations, rewards, dones, infos = normalised.step(rng.integers(0, 15, 4))
        raw = normalised.get_original_reward()
        running = running * gamma + raw
        seen = np.concatenate([seen, running])
        mean = seen.sum() / (len(seen) + prior)
        std = np.sqrt((prior + (seen**2).sum()) / (len(seen) + prior) - mean**2)
        np.testing.assert_allclose(rewards, np.clip(raw / std, -10, 10), rtol=1e-4)
        rewarded += np.count_nonzero(raw)
        running[dones] = 0
        assert [("episode" in info) for info in infos] == dones.tolist()
        assert observations.shape == (4, 12288) and observations.dtype == np.uint8
    assert rewarded > 3


def test_episode_returns_are_raw_sums() -> None:
    env = Sb3ProcgenEnv(ProcgenVecEnv("jumper", 4, levels=Levels(0, 200), rand_seed=0))
    env.reset()
    rng = np.random.default_rng(0)
    total, length, ended = np.zeros(4), np.zeros(4, int), 0
    for _ in range(1500):
        _, rewards, dones, infos = env.step(rng.integers(0, 15, 4))
        total += rewards
        length += 1
        for i in np.flatnonzero(dones):
            assert infos[i]["episode"] == {"r": total[i], "l": length[i]}
            total[i], length[i] = 0, 0
            ended += 1
    assert ended > 3


def test_flat_observations_are_the_frames_that_the_exported_expert_sees(
    tmp_path: Path, whole: tuple[Path, TrainResult]
) -> None:
    """The trained policy and the loaded expert are one function of a frame."""
    card = {"game": "starpilot", "levels": {"start": 0, "num": 200}, "distribution_mode": "easy", "seed": 0,
            "architecture": "impoola-s2d", "environment_steps": 768, "algorithm": "PPO", "settings": {},
            "machine": "m", "training_seconds": 1.0, "learning_curve": []}  # fmt: skip
    path = export_expert(tmp_path / "x.safetensors", whole[1].weights, card, episodes=2)
    expert = load_expert(path, dtype=torch.float32)
    env = Sb3ProcgenEnv(ProcgenVecEnv("starpilot", 4, levels=Levels(0, 200), rand_seed=0))
    flat = torch.from_numpy(env.reset().copy())
    assert expert.architecture == "impoola-s2d"
    network = ImpalaNetwork((3, 64, 64), 15, "impoola-s2d")
    network.load_state_dict(dict(whole[1].weights))
    frames = flat.view(4, 64, 64, 3).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected, _ = network.policy_and_value(frames / 255)
    np.testing.assert_allclose(expert.logits(frames), expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(frames, env.env.observations())
    learner = expert.as_learner()
    assert np.array_equal(learner.predict(frames.numpy()), expected.argmax(1))


def test_folding_is_torchs_pixel_unshuffle() -> None:
    frames = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    flat = frames.permute(0, 2, 3, 1).reshape(4, -1)
    expected = torch.nn.functional.pixel_unshuffle(frames, 2).permute(0, 2, 3, 1).reshape(4, -1)
    assert torch.equal(fold(flat, 2), expected) and torch.equal(fold(flat, 1), flat)


def test_an_update_is_stable_baselines3s() -> None:
    """On the same rollout, in two passes of one minibatch: weights, losses and the rest of the log."""
    config = dataclasses.replace(PPO, epochs=2, minibatches=1, precision="float32")
    env = Sb3ProcgenEnv(ProcgenVecEnv("starpilot", 8, levels=Levels(0, 200), rand_seed=0))
    model = build_learner(config, NormalisedRewards(env, norm_obs=False, gamma=config.gamma), "cpu:0")
    model.set_logger(Logger(None, []))
    _, callback = model._setup_learn(ROLLOUT, None)
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, 32)  # type: ignore[arg-type]
    theirs = RolloutBuffer(32, env.observation_space, env.action_space, "cpu", config.gae_lambda, config.gamma, 8)
    theirs.observations = model._frames.view(32, 8, -1).numpy()
    for name in ("actions", "rewards", "returns", "episode_starts", "values", "log_probs", "advantages"):
        setattr(theirs, name, getattr(model.rollout_buffer, name).copy())
    theirs.full = True
    before = {k: v.clone() for k, v in model.policy.network.state_dict().items()}
    model.train()
    ours, logged = _trained(model, before)
    model.rollout_buffer = theirs
    model.policy.optimizer.state.clear()
    StableBaselinesPPO.train(model)
    expected, expected_log = _trained(model, before)
    for name in ("policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction"):
        assert logged[f"train/{name}"] == pytest.approx(expected_log[f"train/{name}"], abs=1e-5)
    for name, weight in expected.items():
        moved = (weight - before[name]).norm()
        assert moved > 0 and (ours[name] - weight).norm() < 1e-2 * moved


def _trained(
    model: PhasicPPO, before: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Returns the weights and the log, and puts the weights back."""
    weights = {k: v.clone() for k, v in model.policy.network.state_dict().items()}
    model.policy.network.load_state_dict(before)
    return weights, dict(model.logger.name_to_value)


@pytest.mark.slow
def test_phases_pause_and_resume_bit_for_bit(tmp_path: Path) -> None:
    """A checkpoint ends each phase of two rollouts; what a kill takes of the next one is played again."""
    config = dataclasses.replace(CONFIG, phase=2, steps=4 * ROLLOUT, evaluate_every=10**9)
    whole = train_expert(config, tmp_path / "whole")
    seen: list[int] = []

    def interrupt(point: CurvePoint) -> None:
        raise KeyboardInterrupt

    def killed(point: CurvePoint) -> None:
        seen.append(point.steps)
        if point.steps == 3 * ROLLOUT:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_expert(config, tmp_path / "killed", on_update=killed)
    assert seen == [ROLLOUT, 2 * ROLLOUT, 3 * ROLLOUT]
    assert same(train_expert(config, tmp_path / "killed", resume=True), whole)
    with pytest.raises(KeyboardInterrupt):  # before any phase has ended
        train_expert(config, tmp_path / "early", on_update=interrupt)
    assert same(train_expert(config, tmp_path / "early", resume=True), whole)
    paused = train_expert(config, tmp_path / "paused", max_minutes=1e-9)
    assert not paused.finished and paused.steps == 2 * ROLLOUT
    assert same(train_expert(config, tmp_path / "paused", resume=True), whole)
    rounded = train_expert(dataclasses.replace(config, steps=2 * ROLLOUT + 1), tmp_path / "rounded")
    assert rounded.finished and same(rounded, whole)


@pytest.mark.parametrize("architecture", ["impala-s2d", "impoola-s2d"])
def test_initial_features_tell_frames_apart(architecture: str) -> None:
    """The scaled weights' features differ between frames at least five times as much as torch's own would."""
    env = Sb3ProcgenEnv(ProcgenVecEnv("bigfish", 16, levels=Levels(0, 200), rand_seed=0))
    rng = np.random.default_rng(0)
    env.reset()
    for _ in range(100):
        flat = env.step(rng.integers(0, 15, 16))[0]
    frames = torch.from_numpy(flat.copy()).view(16, 64, 64, 3).permute(0, 3, 1, 2) / 255
    torch.manual_seed(0)
    plain = ImpalaNetwork((3, 64, 64), 15, architecture)
    torch.manual_seed(0)
    policy = ImpalaPolicy(env.observation_space, env.action_space, lambda _: 1e-3, architecture=architecture,
                          bfloat16=False, channels_last=False)  # fmt: skip
    with torch.no_grad():
        assert policy.network(frames).std(0).mean() > 5 * plain(frames).std(0).mean()
    for name, weight in policy.network.named_parameters():
        if name.startswith(("blocks.", "fc.")) and weight.ndim > 1:
            norm = 1.4 if name == "fc.weight" else 6**-0.25 if ".res" in name else 1.0
            rows = weight.detach().flatten(1).norm(dim=1)
            torch.testing.assert_close(rows, torch.full_like(rows, norm), rtol=1e-5, atol=0)


def test_between_phases_values_do_not_train_the_features() -> None:
    env = Sb3ProcgenEnv(ProcgenVecEnv("starpilot", 4, levels=Levels(0, 200), rand_seed=0))
    observations = torch.from_numpy(env.reset())
    actions = torch.zeros(4, dtype=torch.int64)
    for detached in (True, False):
        policy = ImpalaPolicy(env.observation_space, env.action_space, lambda _: 1e-3, architecture="impoola-s2d",
                              bfloat16=False, channels_last=True, detached=detached)  # fmt: skip
        values, log_probabilities, _ = policy.evaluate_actions(observations, actions)
        values.sum().backward(retain_graph=True)
        trained = {k for k, p in policy.network.named_parameters() if p.grad is not None}
        assert (trained == {"value.weight", "value.bias"}) == detached and "value.weight" in trained
        log_probabilities.sum().backward()
        assert policy.network.fc.weight.grad is not None


def test_an_auxiliary_phase_trains_the_values_and_holds_the_policy() -> None:
    """Against the same run with hardly any cloning, on the divergence that the phase itself logs."""
    logged: dict[float, tuple[float, float]] = {}
    for cloning in (1e-6, 100.0):
        config = dataclasses.replace(CONFIG, steps=ROLLOUT, auxiliary_epochs=8, cloning=cloning)
        env = Sb3ProcgenEnv(ProcgenVecEnv("starpilot", 8, levels=Levels(0, 200), rand_seed=0))
        model = build_learner(config, NormalisedRewards(env, norm_obs=False, gamma=config.gamma), "cpu:0")
        model.set_logger(Logger(None, []))
        model.learn(config.steps, log_interval=None)  # type: ignore[arg-type]
        names = model.logger.name_to_value
        logged[cloning] = (names["auxiliary/divergence"], names["auxiliary/value_loss"])
        assert names["auxiliary/value_loss"] < names["train/value_loss"]
    assert 0 < logged[100.0][0] < logged[1e-6][0] / 3


def test_the_learning_rate_falls_linearly_to_a_tenth(whole: tuple[Path, TrainResult]) -> None:
    config = TrainExpertConfig("starpilot", learning_rate=1e-3, annealing=1000)
    expected = {0: 1.0, 500: 0.55, 1000: 0.1, 5000: 0.1}
    assert {s: fall(config, s) for s in expected} == pytest.approx(expected)
    assert fall(dataclasses.replace(config, annealing=0), 5000) == 1
    saved = load_state(whole[0] / "checkpoint.pt")["state"]["learner"]
    rate = saved["optimizer"]["param_groups"][0]["lr"]
    assert rate == pytest.approx(CONFIG.learning_rate * (1 - 0.9 * 3 / 4))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_networks_are_these_formulas(architecture: str) -> None:
    """Each architecture against its formula in plain functions; the weights keep their names and shapes."""
    network = ImpalaNetwork((3, 64, 64), 15, architecture)
    sizes = {"impala": 626_256, "impala-s2d": 234_336, "impoola-s2d": 166_320}
    assert sum(p.numel() for p in network.parameters()) == sizes[architecture]
    w = network.state_dict()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    F = torch.nn.functional

    def convolve(h: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        return F.conv2d(h, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding=1)

    impoola = architecture == "impoola-s2d"
    h = x if architecture == "impala" else F.pixel_unshuffle(x, 2)
    for i in range(3):
        strided = impoola and i == 0
        h = convolve(h, f"blocks.{i}.conv", 2 if strided else 1)
        h = h if strided else F.max_pool2d(h, 3, 2, 1)
        for r in (f"blocks.{i}.res0", f"blocks.{i}.res1"):
            h = h + convolve(F.relu(convolve(F.relu(h), f"{r}.conv_a")), f"{r}.conv_b")
    h = F.relu(h)
    features = F.relu(F.linear(h.mean((2, 3)) if impoola else h.flatten(1), w["fc.weight"], w["fc.bias"]))
    assert torch.equal(network(x), features)
    logits, values = network.policy_and_value(x)
    assert torch.equal(logits, F.linear(features, w["policy.weight"], w["policy.bias"])) and values.shape == (2,)


def test_export_writes_cards_and_a_medium_policy(whole: tuple[Path, TrainResult], tmp_path: Path) -> None:
    directory, result = whole
    played = []
    paths = export_run(
        CONFIG, directory, result, machine="a machine", episodes=3, on_episode=lambda: played.append(1)
    )
    assert [path.name for path in paths] == ["starpilot.safetensors", "starpilot-medium.safetensors"]
    assert len(played) == 2 * 2 * 2 * 3
    expert = load_expert(paths[0])
    assert expert.card["sha256"] == expert.sha256 and expert.card["environment_steps"] == 3 * ROLLOUT
    assert expert.card["game"] == "starpilot" and expert.card["machine"] == "a machine"
    assert expert.card["algorithm"].startswith("PPG") and expert.card["settings"]["phase"] == CONFIG.phase
    for split in ("train", "ood"):
        for mode in ("sampled", "greedy"):
            assert set(expert.card["returns"][split][mode]) == {"mean", "std", "n"}
            assert expert.card["returns"][split][mode]["n"] == 3
    assert [point["steps"] for point in expert.card["learning_curve"]] == [2 * ROLLOUT, 3 * ROLLOUT]
    assert load_expert(paths[1]).card["environment_steps"] == 2 * ROLLOUT
    text = paths[0].with_suffix(".md").read_text()
    mean = expert.card["returns"]["train"]["sampled"]["mean"]
    assert expert.sha256 in text and f"{mean:.2f} ±" in text and "| 768 |" in text


def test_bundled_cards_are_complete() -> None:
    assert bundled_experts()
    for name in bundled_experts():
        expert = load_expert(name)
        assert expert.card["game"] == name.partition("@")[0].removesuffix("-medium")
        assert expert.card["architecture"] == expert.architecture
        assert expert.card.get("sha256", expert.sha256) == expert.sha256
        for split in ("train", "ood"):
            for mode in ("sampled", "greedy"):
                assert expert.card["returns"][split][mode]["n"] >= 100


def test_a_run_starts_from_an_expert(tmp_path: Path) -> None:
    config = dataclasses.replace(PPO, init="starpilot", steps=ROLLOUT, learning_rate=1e-12)
    result = train_expert(config, tmp_path)
    bundled = load_expert("starpilot", dtype=torch.float32)
    assert result.initial_steps == bundled.card["environment_steps"]
    for name, weight in bundled.network.state_dict().items():
        torch.testing.assert_close(result.weights[name], weight, atol=1e-6, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("phase", [0, 1])
def test_a_gpus_graphs_compute_what_a_cpu_does_and_its_checkpoint_goes_on_there(
    tmp_path: Path, phase: int
) -> None:
    """One update from the same rollout: actions differ, so weights are compared by how far they move."""
    config = dataclasses.replace(CONFIG, phase=phase, steps=ROLLOUT, precision="float32", annealing=0)
    gpu = train_expert(config, tmp_path, device="cuda:0")
    cpu = train_expert(config, tmp_path / "cpu")
    assert gpu.curve[0].value_loss == pytest.approx(cpu.curve[0].value_loss, rel=0.5)
    assert gpu.curve[0].entropy == pytest.approx(cpu.curve[0].entropy, abs=0.05)
    more = train_expert(dataclasses.replace(config, steps=2 * ROLLOUT), tmp_path, resume=True)
    assert more.steps == 2 * ROLLOUT and more.curve[0] == gpu.curve[0]


def test_float32_and_channels_first_train_the_same_policy(tmp_path: Path, whole: tuple[Path, TrainResult]) -> None:
    """Memory layout and piecewise evaluation change rounding only."""
    one = dataclasses.replace(CONFIG, steps=ROLLOUT, precision="float32")
    a = train_expert(one, tmp_path / "a")
    b = train_expert(dataclasses.replace(one, channels_last=False), tmp_path / "b")
    assert a.curve[0].value_loss == pytest.approx(b.curve[0].value_loss, rel=1e-3)
    assert a.curve[0].policy_loss == pytest.approx(b.curve[0].policy_loss, abs=1e-4)
    assert a.curve[0].value_loss == pytest.approx(whole[1].curve[0].value_loss, rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": Levels(150, 100)}, "150-249 overlap the held-out validation levels 200-299"),
        ({"levels": Levels(0, 0)}, "(all) overlap the held-out"),
        ({"levels": Levels(250, 10)}, "250-259 overlap"),
        ({"minibatches": 7}, "expected a divisor of 256"),
        ({"minibatches": 256}, "give fewer"),
        ({"epochs": 0}, "epochs=0: expected 1 or more"),
        ({"phase": -1}, "phase=-1: expected 0 or more"),
        ({"annealing": -1}, "annealing=-1: expected 0 or more"),
        ({"auxiliary_epochs": 0}, "auxiliary_epochs=0: expected 1 or more"),
        ({"architecture": "vgg"}, "expected one of impala, impala-s2d, impoola-s2d"),
        ({"precision": "float8"}, "expected one of auto, bfloat16, float32"),
    ],
)
def test_bad_settings_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingSettingsError) as error:
        dataclasses.replace(CONFIG, **change)  # type: ignore[arg-type]
    assert message in str(error.value)
    assert isinstance(error.value, TrainingError) and isinstance(error.value, SettingsError)


def test_levels_beside_the_held_out_ones_are_fine() -> None:
    assert dataclasses.replace(CONFIG, levels=Levels(300, 100)).levels.num == 100


def test_a_run_is_never_overwritten_and_other_checkpoints_are_refused(whole: tuple[Path, TrainResult]) -> None:
    directory = whole[0]
    before = (directory / "checkpoint.pt").read_bytes()
    with pytest.raises(OutputExistsError, match="add --resume"):
        train_expert(CONFIG, directory)
    with pytest.raises(TrainingError, match="it has game 'starpilot', this one 'bigfish'"):
        train_expert(dataclasses.replace(CONFIG, game="bigfish"), directory, resume=True)
    with pytest.raises(TrainingError, match="it has architecture 'impoola-s2d', this one 'impala'"):
        train_expert(dataclasses.replace(CONFIG, architecture="impala"), directory, resume=True)
    assert (directory / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("keep", [0, 1000, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, whole: tuple[Path, TrainResult], keep: float) -> None:
    data = (whole[0] / "checkpoint.pt").read_bytes()
    size = int(keep * len(data)) if isinstance(keep, float) else keep
    (tmp_path / "checkpoint.pt").write_bytes(data[:size])
    with pytest.raises(TrainingError, match="truncated or damaged"):
        train_expert(CONFIG, tmp_path, resume=True)
    assert (tmp_path / "checkpoint.pt").stat().st_size == size


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path, whole: tuple[Path, TrainResult]) -> None:
    loaded = load_state(whole[0] / "checkpoint.pt")
    save_state(tmp_path / "checkpoint.pt", {**loaded, "format": 99})
    with pytest.raises(TrainingError, match="is of format 99, this version reads 1"):
        train_expert(CONFIG, tmp_path, resume=True)


@pytest.mark.parametrize("run", ["starpilot@1", "bigfish@1", "jumper@1"])
def test_the_experts_own_checkpoints_resume(tmp_path: Path, run: str) -> None:
    """Those of version 0.1 among them; asked for no more steps, a run gives back the weights it holds."""
    kept = ROOT / "datasets" / "checkpoints" / run / "checkpoint.pt"
    if not kept.exists():
        pytest.skip(f"{kept} is not in source distributions, only in the repository")
    saved = load_state(kept)
    shutil.copy(kept, tmp_path)
    steps = saved["state"]["curve"][-1]["steps"]
    config = TrainExpertConfig.from_identity(json.loads(saved["identity"]), steps)
    result = train_expert(config, tmp_path, resume=True)
    assert result.finished and result.steps == steps and len(result.curve) == len(saved["state"]["curve"])
    policy = saved["state"]["learner"]["policy"]
    assert all(torch.equal(weight, policy[f"network.{name}"]) for name, weight in result.weights.items())


def test_ppo_runs_agree_with_checkpoints_older_than_phases() -> None:
    newer = {"phase", "auxiliary_epochs", "cloning", "annealing"}
    assert not newer & PPO.identity().keys()
    assert newer <= CONFIG.identity().keys()
    for config in (PPO, CONFIG):
        assert TrainExpertConfig.from_identity(json.loads(json.dumps(config.identity())), config.steps) == config


def test_the_tasks_settings_are_those_of_the_paper(tmp_path: Path) -> None:
    """Unless told otherwise: 64 environments, on a GPU 256; what a user gives is what is trained."""
    task = make_task("starpilot")
    settings = task.train_settings()
    assert settings is ProcgenTrainSettings
    assert settings().config("starpilot", "cpu:0") == TrainExpertConfig("starpilot")
    assert settings().config("starpilot", "cuda:0").envs == 256
    given = ProcgenTrainSettings(
        steps=3 * ROLLOUT, envs=8, horizon=32, epochs=2, phase=3, auxiliary_epochs=4, minibatches=4, annealing=5,
        seed=1, start_level=300, num_levels=50,
    ).config("bigfish", "cpu:0")  # fmt: skip
    common = {"steps": 3 * ROLLOUT, "envs": 8, "horizon": 32, "epochs": 2, "minibatches": 4, "seed": 1,
              "phase": 3, "auxiliary_epochs": 4, "annealing": 5}  # fmt: skip
    assert given == TrainExpertConfig("bigfish", levels=Levels(300, 50), **common)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="expected 1 or more"):
        ProcgenTrainSettings(epochs=0)


@pytest.fixture(scope="module")
def command_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The directory of a run that the command stopped after one update, and what it said; to be copied."""
    directory = tmp_path_factory.mktemp("command") / "run"
    train = ["train-expert", "starpilot", *FLAGS, "--out", directory]
    return directory, run(*train, "--max-minutes", "1e-6", "--json")


def test_command_trains_exports_and_resumes(tmp_path: Path, command_run: tuple[Path, Result]) -> None:
    stopped, first = command_run
    assert first.exit_code == 0, first.output
    value = json.loads(first.stdout)
    assert value["finished"] is False and [e["environment_steps"] for e in value["experts"]] == [ROLLOUT]
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    train = ["train-expert", "starpilot", *FLAGS, "--out", out]
    fails(1, "add --resume", *train)
    fails(1, "learning_rate 0.0005, this one 0.001", *train, "--resume", "--learning-rate", 1e-3)
    last = run(*train, "--resume")
    assert last.exit_code == 0, last.output
    assert last.stderr == "" and f"{out / 'starpilot.safetensors'}: 768 steps" in last.stdout
    fails(1, "add --resume", *train, "--dry-run")
    new = tmp_path / "new"
    plan = json.loads(run(*train[:-1], new, "--dry-run", "--json").stdout)
    assert plan["task"] == "procgen/starpilot" and plan["directory"] == str(new) and not new.exists()
    assert 0 < plan["seconds"] < 600
    assert plan["settings"] == dataclasses.asdict(
        ProcgenTrainSettings(
            architecture="impoola-s2d",
            steps=3 * ROLLOUT,
            envs=8,
            horizon=32,
            epochs=2,
            phase=1,
            minibatches=4,
            seed=1,
        )
    )


def test_command_refuses_what_does_not_fit(tmp_path: Path) -> None:
    out = tmp_path / "run"
    fails(2, "did you mean 'procgen/starpilot'", "train-expert", "starpliot")
    fails(2, "overlap the held-out", "train-expert", "starpilot", *FLAGS, "--out", out, "--num-levels", 0)
    fails(2, "expected a divisor", "train-expert", "starpilot", *FLAGS, "--out", out, "--minibatches", 7)
    fails(1, "does not exist; leave --resume out", "train-expert", "starpilot", *FLAGS, "--out", out, "--resume")
    init = [*FLAGS, "--init", "starpilot", "--out", out]
    fails(1, "plays starpilot, not bigfish", "train-expert", "bigfish", *init)
    fails(1, "is of architecture impala-s2d", "train-expert", "starpilot", *init, "--architecture", "impala")
    fails(1, "this run of impoola-s2d: add --architecture impala-s2d", "train-expert", "starpilot", *init)
    assert not out.exists()


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, command_run: tuple[Path, Result]) -> None:
    """A limit on file size stands for a full disk; the run that hits it can be resumed afterwards."""
    out = tmp_path / "run"
    shutil.copytree(command_run[0], out)
    flags = ["train-expert", "starpilot", *FLAGS, "--out", str(out)]
    before = (out / "checkpoint.pt").read_bytes()
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "sys.argv[0] = 'rld-distill'; from rld_distill.main import entry_point; entry_point()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *flags, "--resume"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1 and "no space left" in result.stderr, result.stderr
    assert (out / "checkpoint.pt").read_bytes() == before
    assert not list(out.glob("**/*.partial"))
    assert run(*flags, "--resume", "--max-minutes", "1e-6").exit_code == 0
    assert (out / "checkpoint.pt").read_bytes() != before


@pytest.mark.parametrize(
    ("module", "arguments", "command"),
    [
        ("stable_baselines3", [], "d3rlpy-distill[experts]"),
        ("tensorboard", ["--tensorboard"], "d3rlpy-distill[tensorboard]"),
    ],
)
def test_a_missing_extra_names_the_command(
    tmp_path: Path, module: str, arguments: list[str], command: str
) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.modules['torch.utils.tensorboard'] = None;"
        "sys.argv[0] = 'rld-distill'; from rld_distill.main import entry_point; entry_point()"
    )
    flags = ["train-expert", "starpilot", *FLAGS, *arguments, "--out", str(tmp_path / "x")]
    result = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert f"pip install '{command}'" in result.stderr and result.stderr.strip().count("\n") == 0


def test_card_says_where_a_run_started() -> None:
    modes = ("sampled", "greedy")
    card = {
        "game": "starpilot", "levels": {"start": 0, "num": 200}, "distribution_mode": "easy", "seed": 0,
        "architecture": "impala-s2d", "environment_steps": 1500, "algorithm": "PPO", "settings": {"epochs": 2},
        "machine": "m", "training_seconds": 7200.0, "learning_curve": [], "sha256": "ab",
        "initial": {"expert": "starpilot", "environment_steps": 1000},
        "returns": {split: {m: {"mean": 1.0, "std": 2.0, "n": 100} for m in modes} for split in ("train", "ood")},
    }  # fmt: skip
    text = card_markdown("x", card)
    assert "1,500, of which 1,000 by the expert it started from" in text and "epochs 2" in text
    assert "| hours of training | 2.0 |" in text and "Learning curve" not in text


@pytest.mark.parametrize("size", [(64, 64), (7, 8), (5, 3), (2, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_max_pool_is_torchs(size: tuple[int, int], dtype: torch.dtype) -> None:
    x = torch.randn(3, 4, *size, generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = torch.nn.functional.max_pool2d(x, 3, stride=2, padding=1)
    with torch.no_grad():
        assert torch.equal(max_pool(x), expected)
        assert torch.equal(max_pool(x.contiguous(memory_format=torch.channels_last)), expected)
