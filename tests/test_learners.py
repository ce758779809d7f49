"""Distilling for learners other than discrete BC, and datasets other than Procgen's."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import (
    BCConfig,
    DiscreteBCConfig,
    DiscreteCQLConfig,
    DiscreteSACConfig,
    DoubleDQNConfig,
    DQNConfig,
)
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer, TransitionMiniBatch
from d3rlpy.models.encoders import PixelEncoderFactory, VectorEncoderFactory
from d3rlpy.preprocessing import (
    MinMaxActionScaler,
    PixelObservationScaler,
    StandardObservationScaler,
    StandardRewardScaler,
)
from d3rlpy.torch_utility import TorchMiniBatch

from buffers import distil, make_buffer, paper_learner, vectors
from d3rlpy_distill import GradientMatchingConfig, OfflineDataset, PaperEncoderFactory, Run, TransitionArrays
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.data import EpisodeData, EpisodeWriter, Provenance, load_dataset
from d3rlpy_distill.data.images import channel_first
from d3rlpy_distill.errors import OutputExistsError, SettingsError, UnknownNameError, UnsuitableDatasetError
from d3rlpy_distill.learners.batch import Batch
from d3rlpy_distill.learners.gradients import synthetic_gradient
from d3rlpy_distill.learners.learner import build_learner, learner_loss, learner_network
from d3rlpy_distill.learners.scalers import fit_scalers
from d3rlpy_distill.learners.training import Trainer, make_batch
from d3rlpy_distill.methods.synthetic import SyntheticSet, as_monte_carlo, source_rewards
from d3rlpy_distill.pipeline import distill, distill_to_file
from d3rlpy_distill.students import Budget

SMALL = VectorEncoderFactory(hidden_units=[8])
VALUE_BASED = [DQNConfig, DoubleDQNConfig, DiscreteCQLConfig]


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "d3rlpy_distill.learners.training.autocast", lambda device: torch.autocast("cpu", enabled=False)
    )


@pytest.mark.parametrize("terminated", [True, False])
def test_transitions_are_d3rlpys_own(terminated: bool) -> None:
    """Rewards, terminals and next observations against d3rlpy's transition picker, one by one."""
    buffer = vectors(continuous=False, terminated=terminated)
    data = TransitionArrays.from_buffer(buffer)
    i = 0
    everything = data.next_observations(np.arange(len(data)))
    for episode in buffer.episodes:
        for step in range(episode.transition_count):
            theirs = buffer.transition_picker(episode, step)
            np.testing.assert_array_equal(data.observations[i], theirs.observation)
            np.testing.assert_array_equal(everything[i], theirs.next_observation)
            np.testing.assert_array_equal(data.next_observations(np.array([i]))[0], theirs.next_observation)
            assert data.rewards[i] == theirs.reward[0] and data.terminals[i] == bool(theirs.terminal)
            assert data.actions[i] == theirs.action[0]
            i += 1
    assert i == len(data)


@pytest.mark.parametrize("config", VALUE_BASED)
def test_value_loss_and_update_are_stock_d3rlpys(config: Any, float32: None) -> None:
    """The same loss, and after a few updates with target updates in between, the same weights."""
    settings = config(
        batch_size=16, learning_rate=1e-2, gamma=0.9, encoder_factory=SMALL, target_update_interval=2
    )
    buffer = vectors(continuous=False, terminated=False)
    data = TransitionArrays.from_buffer(buffer)
    ours = build_learner(settings, (3,), 3, seed=0)
    theirs = copy.deepcopy(ours)
    batches = [np.random.default_rng(5).integers(len(data), size=(4, 16))][0]

    class Fixed:
        def __init__(self) -> None:
            self.left = list(batches)

        def integers(self, high: int, size: int) -> np.ndarray:
            assert high == len(data) and size == 16
            return self.left.pop(0)

    trainer = Trainer(ours, data, Fixed())  # type: ignore[arg-type]
    for grad_step, index in enumerate(batches, 1):
        loss = trainer.step()
        picks = []
        for episode in buffer.episodes:
            picks += [buffer.transition_picker(episode, step) for step in range(episode.transition_count)]
        numpy_batch = TransitionMiniBatch.from_transitions([picks[i] for i in index])
        batch = TorchMiniBatch.from_batch(numpy_batch, 0.9, False, "cpu:0")
        expected = theirs.impl.inner_update(batch, grad_step)
        assert loss == pytest.approx(expected["loss"], rel=1e-5)
    for a, b in zip(learner_network(ours).parameters(), learner_network(theirs).parameters(), strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(
        ours.impl.modules.targ_q_funcs.parameters(), theirs.impl.modules.targ_q_funcs.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_value_of_a_terminal_sample_is_regressed_on_its_reward() -> None:
    """The closed form: Huber(Q(s, a) - r), and CQL's log-sum-exp minus Q(s, a) beside it."""
    learner = build_learner(DiscreteCQLConfig(encoder_factory=SMALL, alpha=0.7), (3,), 3, seed=0)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    actions, rewards = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0.0, 5.0, -5.0, 0.1, 2.0])
    loss = learner_loss(learner, Batch(x, actions, rewards, terminals=torch.ones(5)))
    with torch.no_grad():
        q = learner.impl.q_function[0](x).q_value
    error = (q[torch.arange(5), actions] - rewards).abs()
    huber = torch.where(error < 1, 0.5 * error**2, error - 0.5).mean()
    conservative = (torch.logsumexp(q, 1) - q[torch.arange(5), actions]).mean()
    assert loss.item() == pytest.approx((huber + 0.7 * conservative).item(), rel=1e-5)


@pytest.mark.parametrize("terminated", [True, False])
def test_rewards_of_a_q_learner_are_discounted_returns_to_go(terminated: bool) -> None:
    """Where an episode ran out of time, its last step is no transition, and its reward counts."""
    buffer = vectors(continuous=False, terminated=terminated)
    data = TransitionArrays.from_buffer(buffer)
    learner = DQNConfig(gamma=0.8)
    rewards = source_rewards(learner, data)
    for i in range(len(data)):
        rest = buffer.episodes[data.episodes[i]].rewards[data.steps[i] :, 0]
        expected = sum(0.8**k * reward for k, reward in enumerate(rest))
        assert rewards[i] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    form = as_monte_carlo(data, rewards)
    np.testing.assert_array_equal(form.rewards, rewards)
    batch = make_batch(build_learner(learner, (3,), 3, seed=0), form, np.arange(len(form)))
    assert batch.terminals.min() == 1 and batch.next_observations is None  # type: ignore[union-attr]
    np.testing.assert_array_equal(source_rewards(DiscreteBCConfig(), data), data.returns_to_go)


@pytest.mark.parametrize("config", VALUE_BASED)
def test_gradient_of_rewards_equals_finite_differences(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the matched gradient moves with a sample's reward, by brute force."""
    monkeypatch.setattr("d3rlpy_distill.learners.gradients.scale", lambda learner, observations: observations)
    learner = build_learner(config(encoder_factory=SMALL), (3,), 3, seed=1)
    learner_network(learner).double()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    actions = torch.tensor([0, 1, 2, 1])
    rewards = torch.tensor([0.1, -0.2, 0.3, 0.0], dtype=torch.float64, requires_grad=True)

    def size(r: torch.Tensor) -> torch.Tensor:
        return torch.stack([(g**2).sum() for g in synthetic_gradient(learner, x, actions, r)]).sum()

    (gradient,) = torch.autograd.grad(size(rewards), rewards)
    assert gradient.abs().max() > 1e-4
    for i in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[i] = 1e-6
        difference = (size(rewards.detach() + step) - size(rewards.detach() - step)) / 2e-6
        assert gradient[i].item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("config", VALUE_BASED)
@pytest.mark.parametrize("rewards", ["return_to_go", "learned"])
def test_distils_for_q_learners_and_resumes_to_the_same_values(config: Any, rewards: Any, tmp_path: Path) -> None:
    settings = config(batch_size=16, encoder_factory=SMALL, target_update_interval=3)
    method = GradientMatchingConfig(
        learner=settings, n_samples=6, steps=9, output_dtype="float32", rewards=rewards, learning_rate=0.1,
        trajectory_length=4,
    )  # fmt: skip
    buffer = vectors(continuous=False)
    whole = distil(method, buffer, seed=2)
    checkpoint = tmp_path / "checkpoint"

    class Stop(Exception):
        pass

    def stop(step: int, total: int, loss: float) -> None:
        if step == 7:
            raise Stop

    with pytest.raises(Stop):
        distil(method, buffer, seed=2, run=Run(checkpoint=checkpoint, checkpoint_interval=3, on_step=stop))
    assert checkpoint.exists()
    resumed = distil(method, buffer, seed=2, run=Run(checkpoint=checkpoint, checkpoint_interval=3))
    np.testing.assert_array_equal(resumed.samples.observations, whole.samples.observations)
    np.testing.assert_array_equal(resumed.samples.rewards, whole.samples.rewards)
    first = distil(dataclasses.replace(method, steps=0), buffer, seed=2)
    assert whole.initial is not None
    np.testing.assert_allclose(first.samples.rewards, whole.initial.rewards, rtol=1e-6)  # divided by their unit
    assert np.array_equal(first.samples.rewards, whole.samples.rewards) == (rewards == "return_to_go")
    assert not np.array_equal(first.samples.observations, whole.samples.observations)


@pytest.mark.parametrize("learn", [True, False])
def test_distils_continuous_actions_learned_or_kept(learn: bool) -> None:
    buffer = vectors(continuous=True)
    data = TransitionArrays.from_buffer(buffer)
    assert not data.discrete and data.actions.shape == (33, 2)
    scaler = MinMaxActionScaler(minimum=[-1, -1], maximum=[1, 1])
    learner = BCConfig(batch_size=16, encoder_factory=SMALL, action_scaler=scaler)
    method = GradientMatchingConfig(
        learner=learner, n_samples=5, steps=5, output_dtype="float32", learn_actions=learn, learning_rate=0.1,
        label_learning_rate=0.1,
    )  # fmt: skip
    distilled = distil(method, buffer)
    out, initial = distilled.samples, distilled.initial
    assert initial is not None and distilled.sources is not None and (np.diff(distilled.sources) > 0).all()
    np.testing.assert_array_equal(initial.observations, data.observations[distilled.sources])
    np.testing.assert_array_equal(initial.actions, data.actions[distilled.sources])
    assert np.array_equal(out.actions, initial.actions) == (not learn)
    assert not np.array_equal(out.observations, initial.observations)
    for now, real in ((out.observations, data.observations), (out.actions, data.actions)):
        assert (now >= real.min(0) - 1e-5).all() and (now <= real.max(0) + 1e-5).all()
    synthetic = distilled.to_buffer()
    assert synthetic.dataset_info.action_space == ActionSpace.CONTINUOUS
    algo = BCConfig(batch_size=4, encoder_factory=SMALL).create()
    algo.build_with_dataset(synthetic)
    algo.update(synthetic.sample_transition_batch(4))
    assert algo.predict(data.observations[:3]).shape == (3, 2)


def test_one_learning_rate_moves_every_feature_by_its_own_scale() -> None:
    """Adam's first step is the learning rate itself, here in standard deviations of each feature."""
    buffer = vectors(continuous=False)
    data = TransitionArrays.from_buffer(buffer)
    learner = DiscreteBCConfig(batch_size=16, encoder_factory=SMALL)
    method = GradientMatchingConfig(
        learner=learner, n_samples=6, steps=1, output_dtype="float32", learning_rate=0.01
    )
    distilled = distil(method, buffer)
    moved = distilled.samples.observations
    start = data.observations[distilled.sources]
    inside = (moved > data.observations.min(0)) & (moved < data.observations.max(0))
    steps = np.abs(moved - start) / data.observations.std(0)
    np.testing.assert_allclose(steps[inside & (steps > 1e-3)], 0.01, rtol=0.05)
    assert (inside & (steps > 1e-3)).sum() > 6


def test_pixels_move_in_grey_levels() -> None:
    data = TransitionArrays.from_buffer(make_buffer([9, 9]))
    samples = SyntheticSet(data, np.arange(4), data.actions[:4], data.returns_to_go)
    np.testing.assert_array_equal(samples.observations.detach().numpy(), data.observations[:4])
    with torch.no_grad():
        samples.parameters["observations"] += 300
    samples.clamp()
    assert float(samples.observations.detach().max()) == 255.0
    assert samples.to_transitions("uint8").observations.dtype == np.uint8


@pytest.mark.parametrize("shape", [(16, 16, 3), (84, 84, 4), (20, 32, 1)])
def test_channel_last_images_come_out_channel_first(shape: tuple[int, int, int]) -> None:
    buffer = make_buffer([9, 9], shape=shape)
    data = TransitionArrays.from_buffer(buffer)
    assert data.observations.shape[1:] == (shape[2], *shape[:2])
    np.testing.assert_array_equal(data.observations[3, :, 2, 5], buffer.episodes[0].observations[3][2, 5])
    learner = DiscreteBCConfig(
        batch_size=4, observation_scaler=PixelObservationScaler(), encoder_factory=small_cnn()
    )
    distilled = distil(GradientMatchingConfig(learner=learner, n_samples=4, steps=1), buffer)
    assert distilled.samples.observations.shape == (4, *data.observations.shape[1:])
    assert OfflineDataset(buffer).observation_shape == data.observations.shape[1:]


def small_cnn() -> PixelEncoderFactory:
    return PixelEncoderFactory(filters=[(4, 3, 2)], feature_size=8)


@pytest.mark.parametrize("shape", [(3, 16, 16), (4, 84, 84), (1, 32, 20), (12, 64, 64)])
def test_channel_first_images_stay(shape: tuple[int, int, int]) -> None:
    frames = np.zeros((2, *shape), np.uint8)
    assert channel_first(frames) is frames


def test_scalers_are_fitted_to_the_real_data() -> None:
    buffer = vectors(continuous=False)
    data = TransitionArrays.from_buffer(buffer)
    scaler = StandardObservationScaler()
    learner = DiscreteBCConfig(batch_size=8, encoder_factory=SMALL, observation_scaler=scaler)
    distil(GradientMatchingConfig(learner=learner, n_samples=6, steps=1, output_dtype="float32"), buffer)
    np.testing.assert_allclose(scaler.mean, data.observations.mean(0), rtol=1e-4)
    batch = make_batch(build_learner(learner, (3,), 3, seed=0), data, np.arange(len(data)))
    np.testing.assert_allclose(batch.observations.mean(0), 0, atol=1e-5)


def test_tuple_observations_are_refused() -> None:
    episode = Episode(
        [np.zeros((3, 2), np.float32), np.zeros((3, 4), np.float32)],
        np.zeros((3, 1), np.int32),
        np.zeros((3, 1), np.float32),
        True,
    )
    buffer = ReplayBuffer(InfiniteBuffer(), episodes=[episode], action_size=2)
    with pytest.raises(UnsuitableDatasetError, match="tuples of 2 arrays: expected one array"):
        TransitionArrays.from_buffer(buffer)


def test_what_does_not_fit_together_is_named() -> None:
    vector = {"n_samples": 4, "steps": 1, "output_dtype": "float32"}
    for learner, continuous, message in (
        (DQNConfig(), True, "actions are continuous and the learner is DQNConfig: give .* BCConfig"),
        (BCConfig(), False, "actions are discrete and the learner is BCConfig: give .* DiscreteBCConfig, DQN"),
    ):
        with pytest.raises(UnsuitableDatasetError, match=message):
            distil(GradientMatchingConfig(learner=learner, **vector), vectors(continuous))  # type: ignore[arg-type]
    with pytest.raises(UnsuitableDatasetError, match="n_samples=99: expected 1 to 33"):
        many = GradientMatchingConfig(learner=BCConfig(), n_samples=99, steps=1, output_dtype="float32")
        distil(many, vectors(continuous=True))
    for settings, message in (
        ({"learner": DiscreteBCConfig(), "rewards": "learned"}, "rewards='learned' with DiscreteBCConfig"),
        ({"learner": DQNConfig(), "learn_actions": True}, "learn_actions with DQNConfig"),
        ({"learner": BCConfig(), "grouping": "action"}, "continuous actions have no groups"),
        ({"learner": DiscreteSACConfig()}, "learner=DiscreteSACConfig: expected one of DiscreteBCConfig"),
    ):
        with pytest.raises(SettingsError, match=message):
            GradientMatchingConfig(n_samples=4, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("continuous", [True, False])
def test_files_hold_vectors_and_continuous_actions(continuous: bool, tmp_path: Path) -> None:
    buffer = vectors(continuous)
    path, size = tmp_path / "x.h5", 2 if continuous else 3
    with EpisodeWriter(path, Provenance("collected", "a task", size, "test", {})) as writer:
        for episode in buffer.episodes:
            actions = episode.actions if continuous else episode.actions[:, 0]
            writer.write(EpisodeData(episode.observations, actions, episode.rewards[:, 0], True))  # type: ignore[arg-type]
    loaded, info = load_dataset(path)
    assert loaded.dataset_info.action_space == buffer.dataset_info.action_space and info.action_size == size
    assert info.num_transitions == 33
    with path.open("rb") as file:
        theirs = ReplayBuffer.load(file, InfiniteBuffer())
    for ours, stock, original in zip(loaded.episodes, theirs.episodes, buffer.episodes, strict=True):
        np.testing.assert_array_equal(ours.actions, original.actions)
        np.testing.assert_array_equal(stock.actions, original.actions)
    dumped = tmp_path / "stock.h5"
    with dumped.open("w+b") as file:
        buffer.dump(file)
    assert load_dataset(dumped)[0].dataset_info.action_size == size


def test_action_and_reward_scalers_are_applied_as_d3rlpy_does(float32: None) -> None:
    """The loss with scalers is stock d3rlpy's, on the same transitions."""
    for continuous in (True, False):
        buffer = vectors(continuous)
        data = TransitionArrays.from_buffer(buffer)
        settings: Any = {"encoder_factory": SMALL, "observation_scaler": StandardObservationScaler()}
        if continuous:
            config = BCConfig(action_scaler=MinMaxActionScaler(), **settings)
        else:
            config = DQNConfig(reward_scaler=StandardRewardScaler(), gamma=0.9, **settings)
        fit_scalers(config, buffer)
        learner = build_learner(config, (3,), data.action_size, seed=0)
        picks = [buffer.transition_picker(e, step) for e in buffer.episodes for step in range(e.transition_count)]
        batch = TorchMiniBatch.from_batch(
            TransitionMiniBatch.from_transitions(picks), 0.9, False, "cpu:0", config.observation_scaler,
            config.action_scaler, config.reward_scaler,
        )  # fmt: skip
        impl = learner.impl
        if continuous:
            expected = impl.compute_loss(batch.observations, batch.actions).loss
        else:
            expected = impl.compute_loss(batch, impl.compute_target(batch)).loss
        ours = learner_loss(learner, make_batch(learner, data, np.arange(len(data))))
        assert ours.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("continuous", [True, False])
def test_vectors_are_distilled_by_their_preset_from_any_file(continuous: bool, tmp_path: Path) -> None:
    """The file of any task, here stock d3rlpy's dump; made a second time it is left as it is."""
    source, out = tmp_path / "task.h5", tmp_path / "task-5.h5"
    with source.open("w+b") as file:
        vectors(continuous).dump(file)
    dataset = OfflineDataset.load(source)
    distill_to_file(dataset, out, n_samples=5, steps=3)
    synthetic, info = load_dataset(out)
    assert synthetic.transition_count == 5 and info.action_size == (2 if continuous else 3)
    assert info.provenance is not None and info.provenance.settings["preset"] == "default"
    config = info.provenance.settings["config"]
    assert config["distance"] == "l2" and config["learn_actions"] is continuous
    assert (config["learning_rate"], config["momentum"], config["trajectory_length"]) == (0.02, 0.9, 200)
    written = out.stat().st_mtime_ns
    distill_to_file(dataset, out, n_samples=5, steps=3)
    assert out.stat().st_mtime_ns == written
    with pytest.raises(OutputExistsError, match="holds something else"):
        distill_to_file(dataset, out, n_samples=5, steps=4)
    with pytest.raises(SettingsError, match="preset 'paper' is for images"):
        distill(dataset, preset="paper", n_samples=5)


@pytest.mark.parametrize("name", ["dqn", "cql"])
def test_images_are_distilled_for_q_learners(name: str) -> None:
    dataset = OfflineDataset(make_buffer([30, 30]))
    kept, learned = (
        distill(dataset, student=name, n_samples=10, steps=2, rewards=rewards, real_batch_size=16).samples
        for rewards in ("return_to_go", "learned")
    )
    np.testing.assert_array_equal(kept.actions, learned.actions)
    assert not np.array_equal(kept.rewards, learned.rewards)
    with pytest.raises(SettingsError, match="its loss reads no rewards"):
        distill(dataset, student="paper", n_samples=10, steps=2, rewards="learned")


def learner_of(buffer: ReplayBuffer, student: str) -> Any:
    return STUDENTS.get(student)().learner(OfflineDataset(buffer))


def test_learners_of_version_0_1_are_those_of_the_students() -> None:
    """What is matched by default, written out."""
    continuous = learner_of(vectors(continuous=True), "mlp")
    assert isinstance(continuous, BCConfig) and isinstance(continuous.action_scaler, MinMaxActionScaler)
    assert (continuous.batch_size, continuous.learning_rate) == (64, 1e-3)
    discrete = learner_of(vectors(continuous=False), "mlp")
    assert isinstance(discrete, DiscreteBCConfig) and discrete.beta == 0
    scaler = discrete.observation_scaler
    assert isinstance(scaler, StandardObservationScaler) and scaler.built
    assert (discrete.batch_size, discrete.learning_rate) == (64, 1e-3)

    pixels = PixelObservationScaler()
    images = learner_of(make_buffer([3], shape=(64, 64, 3)), "paper")
    wanted = DiscreteBCConfig(
        batch_size=256, learning_rate=5e-3, beta=0.0, encoder_factory=PaperEncoderFactory(),
        observation_scaler=pixels,
    )  # fmt: skip
    assert images.serialize_to_dict() == wanted.serialize_to_dict()
    assert paper_learner(Budget(7, 256)).serialize_to_dict() == wanted.serialize_to_dict()
    for name, kind in (("cql", DiscreteCQLConfig), ("dqn", DQNConfig)):
        ours = learner_of(make_buffer([3], shape=(3, 64, 64)), name)
        theirs = kind(
            batch_size=256, learning_rate=1e-3, encoder_factory=PaperEncoderFactory(), observation_scaler=pixels,
            target_update_interval=100,
        )  # fmt: skip
        assert ours.serialize_to_dict() == theirs.serialize_to_dict()
        of_vectors = learner_of(vectors(continuous=False), name)
        assert of_vectors.batch_size == 64 and of_vectors.observation_scaler.built
    with pytest.raises(UnsuitableDatasetError, match="actions are continuous: the student 'dqn' is not for them"):
        learner_of(vectors(continuous=True), "dqn")
    with pytest.raises(UnknownNameError, match="unknown student 'ppo'"):
        STUDENTS.get("ppo")
