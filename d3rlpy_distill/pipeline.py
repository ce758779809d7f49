"""The whole flow as functions: what the commands call, and what a Python user calls.

OfflineDataset -> Method -> Distilled -> Student x Task -> Results -> Report
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from d3rlpy.datasets import DATA_DIRECTORY

from .catalogue import DATASETS, EXECUTORS, METHODS, STUDENTS
from .data import OfflineDataset, Provenance, package_versions, read_own
from .errors import DatasetFormatError, DistillError, SettingsError, UntrustedFileError
from .evaluation.arms import Arm, ArmKind, compared_arms, equal_arms, is_reserved, standard_arms
from .evaluation.protocol import Protocol
from .evaluation.results import Results
from .evaluation.run import OnArm, Place, PolicyArm, run_arms
from .evaluation.stage import Stage
from .evaluation.store import EvaluationStore, check_store
from .evaluation.tuning import VALIDATION
from .executors import HERE, Board, Executor, Flow, Progress, run_flow
from .files import check_directory, check_output, claim_of, claimed
from .machine import describe_machine
from .methods.base import Method
from .methods.distilled import Distilled
from .methods.given import GivenSamplesMethod
from .methods.labels import LabelDistillationConfig
from .methods.learned import LearnedMethod
from .methods.taught import TaughtMethod
from .methods.unit import Made, checkpoint_of, distil_here, distil_unit
from .options import options_of
from .students.base import Student
from .students.teachers import Teachers
from .tasks.base import LoadedPolicy, Task, make_task

__all__ = [
    "Evaluation",
    "check_distillation",
    "configure",
    "dataset_file",
    "default_student",
    "distill",
    "distill_to_file",
    "distilling",
    "evaluate",
    "executor_of",
    "load",
    "load_distilled",
    "plan_evaluation",
    "task_of",
]

SUFFIXES = (".h5", ".hdf5")
OF_TEACHERS = frozenset(field.name for field, _ in options_of(LabelDistillationConfig)) - {"n_samples", "steps"}
"""Settings that say how teachers were trained."""
ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")  # it becomes part of file names


def load(
    name_or_path: str | Path, *, data_directory: str | Path = DATA_DIRECTORY, task: str | None = None
) -> OfflineDataset:
    """Returns a dataset: one that this package or a plug-in knows by name, made at first use, or a file.

    Args:
        name_or_path: For example ``"starpilot-expert"`` or ``"data/mine.h5"``.
        data_directory: Where named datasets are kept.
        task: Of the data, where the file does not say it.

    Raises:
        UnknownNameError: If there is no such file and no such name.
        DatasetFormatError: If the file is no complete dataset.
        DistillError: If it has other observations or actions than the task.
    """
    named = None if task is None else make_task(task)
    name, size = (None, None) if named is None else (named.name, named.action_size)
    path = _file(name_or_path)
    if path is None:
        path, size = _make(str(name_or_path), data_directory), None
    try:
        dataset = OfflineDataset.load(path, task=name, action_size=size)
    except DatasetFormatError as error:
        if named is None or not path.is_file():
            raise
        raise DatasetFormatError(
            f"{error} The task asked for is {name}: expected the one that was recorded."
        ) from error
    if named is not None:
        _check_fits(dataset, named)
    return dataset


def load_distilled(
    name_or_path: str | Path, *, data_directory: str | Path = DATA_DIRECTORY, device: str = "cpu:0"
) -> Distilled:
    """Returns a distilled set: a bundled one by its name, or a file; see :func:`load`.

    Args:
        name_or_path: For example ``"starpilot-soft-150"`` or ``"data/starpilot-150.h5"``.
        data_directory: Where named datasets are kept.
        device: torch device of its teachers.

    Raises:
        UnknownNameError: If there is no such file and no such name.
        DatasetFormatError: If the file is no complete dataset.
    """
    return Distilled.load(dataset_file(name_or_path, data_directory=data_directory), device=device)


def dataset_file(name_or_path: str | Path, *, data_directory: str | Path = DATA_DIRECTORY) -> Path:
    """Returns the file of a dataset that is known by name, made at first use, or the path itself.

    Args:
        name_or_path: See :func:`load`.
        data_directory: Where named datasets are kept.

    Raises:
        UnknownNameError: If there is no such file and no such name.
    """
    path = _file(name_or_path)
    return _make(str(name_or_path), data_directory) if path is None else path


def _file(name_or_path: str | Path) -> Path | None:
    path = Path(name_or_path)
    return path if path.suffix in SUFFIXES or path.exists() else None


def _make(name: str, directory: str | Path) -> Path:
    return DATASETS.get(name)(name, Path(directory))


def task_of(dataset: OfflineDataset, name: str | None = None) -> Task:
    """Returns the task to play: the one named, or the dataset's own, on the starts that it was recorded on.

    Raises:
        SettingsError: If neither is known.
        UnknownNameError: If there is no such task.
    """
    chosen = name or dataset.task
    if chosen is None:
        raise SettingsError(
            f"{dataset.name} does not record its task: name it with --task, for example --task gym/CartPole-v1."
        )
    task = make_task(chosen)
    if name is None or (dataset.task is not None and task.name == dataset.task):
        task = task.for_dataset(dataset.provenance.settings if dataset.provenance else {})
    _check_fits(dataset, task)
    return task


def default_student(dataset: OfflineDataset, name: str | None = None) -> str:
    """Returns the name of the student that suits a dataset: the task's own, else by the kind of observations."""
    if name is not None:
        return name
    if dataset.task is not None:
        try:
            return make_task(dataset.task).default_student
        except DistillError:
            pass  # a task that is not installed here can still be distilled
    if not dataset.has_images:
        return "mlp"
    return "paper" if min(dataset.observation_shape[1:]) >= 16 else "impala"


def configure(
    dataset: OfflineDataset,
    method: str = "gradient",
    *,
    student: str | None = None,
    preset: str = "default",
    expert: str | None = None,
    trust: bool = False,
    teachers: str | Path | None = None,
    device: str = "cpu:0",
    seed: int = 0,
    **settings: Any,
) -> tuple[Method, dict[str, Any]]:
    """Returns a configured method, and what a distillation records beside its configuration (JSON values).

    Args: those of :func:`distill`.
    """
    kind = METHODS.get(method)
    chosen = STUDENTS.get(default_student(dataset, student))()
    recorded: dict[str, Any] = {"preset": preset, "expert_sha256": None}

    def load_expert() -> LoadedPolicy:
        task = task_of(dataset)
        name = expert or task.expert_name(dataset.provenance.settings if dataset.provenance else {})
        if name is None:
            raise SettingsError(
                "an expert takes part, and the dataset does not record its expert; name it with --expert."
            )
        loaded = task.load_policy(name, trust=trust)
        recorded["expert_sha256"] = loaded.sha256
        return loaded

    if teachers is None:
        return kind.preset(dataset, chosen, name=preset, settings=settings, expert=load_expert), recorded
    if not issubclass(kind, LabelDistillationConfig):
        taking = [name for name in METHODS.names() if issubclass(METHODS.get(name), LabelDistillationConfig)]
        raise SettingsError(
            f"the method {method!r} takes no teachers: leave them out, or give a method that does "
            f"({', '.join(taking)})."
        )
    if settings.get("steps") is not None:
        moving = " How long samples move is 'moves'." if issubclass(kind, TaughtMethod) else ""
        raise SettingsError(f"steps train teachers, and teachers are given: leave one out.{moving}")
    given = _read_teachers(Path(teachers), dataset, device)
    # what is not asked for is as it was when they were trained
    known = given.settings(kind) if preset == "default" else {}
    if student is None:
        known["learner"] = given.teachers.config
    if settings.get("begin") == "given" and issubclass(kind, GivenSamplesMethod):
        known |= kind.of_given(given.samples)
        recorded["given_sha256"] = given.samples.sha256  # with the labels, which the teachers' file may have moved
    configured = kind.preset(dataset, chosen, name=preset, settings={**known, **settings}, expert=load_expert)
    recorded["teachers_sha256"] = given.teachers.sha256
    return given.label(configured, seed), recorded


def distill(
    dataset: OfflineDataset,
    method: str = "gradient",
    *,
    student: str | None = None,
    preset: str = "default",
    expert: str | None = None,
    trust: bool = False,
    teachers: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu:0",
    checkpoint: Path | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
    command: str = "",
    **settings: Any,
) -> Distilled:
    """Distils a dataset.

    Args:
        dataset: What to distil.
        method: A registered method or coreset.
        student: The students that are to train on the set: their learner is what is matched. By default the task's.
        preset: One of the method's presets.
        expert: The policy that methods match at, where they do; by default the one that played the dataset.
        trust: Load its file though it holds pickled code.
        teachers: A file with soft labels, distilled from the same dataset, whose teachers are to be taken.
        seed: Fixes everything random.
        device: torch device.
        checkpoint: See :class:`~.methods.base.Run`.
        on_step: Likewise.
        command: Command line to record.
        **settings: Fields of the method, for example ``n_samples=50``.

    Raises:
        SettingsError: If a setting is unknown, out of range, or does not go with another.
        UnsuitableDatasetError: If the dataset is too small or not of the supported kind.
    """
    configured, recorded = configure(
        dataset,
        method,
        student=student,
        preset=preset,
        expert=expert,
        trust=trust,
        teachers=teachers,
        device=device,
        seed=seed,
        **settings,
    )
    made = distil_here(dataset, configured, seed, device, checkpoint, on_step)
    return _signed(made, _provenance(dataset, method, configured, recorded, seed, command))


def distill_to_file(
    dataset: OfflineDataset,
    path: str | Path,
    method: str = "gradient",
    *,
    student: str | None = None,
    preset: str = "default",
    expert: str | None = None,
    trust: bool = False,
    teachers: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu:0",
    on_step: Callable[[int, int, float], None] | None = None,
    command: str = "",
    **settings: Any,
) -> Method:
    """Distils into a file, with its checkpoint beside it; does nothing if the file holds just this set already.

    Args: those of :func:`distill`, and ``path``, the file to make.

    Returns:
        The method as it was configured.

    Raises:
        OutputExistsError: If the path holds anything else.
        InUseError: If another process is making it.
    """
    path = Path(path)
    check_output(path, overwrite=True)
    configured, recorded = configure(
        dataset,
        method,
        student=student,
        preset=preset,
        expert=expert,
        trust=trust,
        teachers=teachers,
        device=device,
        seed=seed,
        **settings,
    )
    provenance = _provenance(dataset, method, configured, recorded, seed, command)
    with claimed(path):
        if path.exists():
            read_own(path, provenance)
        else:
            made = distil_here(dataset, configured, seed, device, checkpoint_of(path), on_step)
            _signed(made, provenance).save(path)
    return configured


def distilling(
    stage: Stage,
    path: Path,
    method: str,
    place: Place,
    *,
    student: str | None = None,
    preset: str = "default",
    expert: str | None = None,
    trust: bool = False,
    teachers: str | Path | None = None,
    seed: int = 0,
    command: str = "",
    **settings: Any,
) -> Flow[float | None]:
    """Distils into a file as one unit of work; see :func:`distill_to_file`.

    Args: those of :func:`distill`, and:
        stage: What to distil.
        path: The file to make, by this process. A checkpoint is kept beside it by whoever sees it.
        place: Where the unit runs.

    Returns:
        Its seconds; None where it was made before, or begun.

    Raises: those of :func:`distill_to_file`.
    """
    dataset = stage.dataset
    check_output(path, overwrite=True)
    configured, recorded = configure(
        dataset,
        method,
        student=student,
        preset=preset,
        expert=expert,
        trust=trust,
        teachers=teachers,
        device=place.device,
        seed=seed,
        **settings,
    )
    provenance = _provenance(dataset, method, configured, recorded, seed, command)
    with claimed(path):
        if path.exists():
            read_own(path, provenance)
            place.board.skip()
            return None
        begun = checkpoint_of(path).exists()
        arguments = stage.shared_dataset, configured, seed, place.device, path.resolve(), claim_of(path)
        made: Made
        (made,) = yield [place.unit("distilling", distil_unit, *arguments)]
        _signed(made, provenance).save(path)
    return None if begun else made.seconds


def check_distillation(
    dataset: OfflineDataset,
    path: str | Path,
    method: str = "gradient",
    *,
    student: str | None = None,
    preset: str = "default",
    expert: str | None = None,
    trust: bool = False,
    teachers: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu:0",
    **settings: Any,
) -> tuple[Method, bool]:
    """Returns the method as :func:`distill_to_file` would configure it, and whether its file is there already.

    Raises:
        OutputExistsError: If the path holds anything else.
        OutputPathError: If no file can be made there.
    """
    check_output(Path(path), overwrite=True)
    configured, recorded = configure(
        dataset,
        method,
        student=student,
        preset=preset,
        expert=expert,
        trust=trust,
        teachers=teachers,
        device=device,
        seed=seed,
        **settings,
    )
    there = Path(path).exists()
    if there:
        read_own(path, _provenance(dataset, method, configured, recorded, seed, ""))
    return configured, there


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """An evaluation that is ready to run.

    Args:
        task: What is played.
        dataset: The real data.
        students: By name.
        policies: Arms that train nothing.
        arms: Arms that train students.
        protocol: Numbers, budgets, seed.
        splits: What is played.
        identity: What else decides the results (JSON values).
        provenance: What to record beside them (JSON values).
        notes: What a reader of the results should know of the arms, a sentence each.
    """

    task: Task
    dataset: OfflineDataset
    students: Mapping[str, Student]
    policies: Sequence[PolicyArm]
    arms: Sequence[Arm]
    protocol: Protocol
    splits: Sequence[str]
    identity: Mapping[str, Any]
    provenance: Mapping[str, Any]
    notes: Sequence[str] = ()

    def check(self, directory: Path) -> None:
        """Refuses a directory that :meth:`run` would refuse.

        Raises: those of :meth:`run`, but for InUseError.
        """
        check_directory(directory)
        protocol = {**self.protocol.to_json(dict(self.students)), **self.identity}
        check_store(directory, {"task": self.task.name, **protocol})

    def run(
        self,
        directory: Path,
        *,
        executor: Executor | str = HERE,
        cores: int = 1,
        device: str = "cpu:0",
        progress: Progress = lambda what, done, total: None,
        on_arm: OnArm = lambda entries: None,
    ) -> Results:
        """Runs it; into the same directory, it goes on where it stopped.

        Args:
            directory: Keeps students, returns and, in the end, ``results.json``.
            executor: Where units of work run, one student trained, one arm played: here, or by its name.
            cores: Torch threads of each unit, on which last bits depend.
            device: torch device for training.
            progress: Told of what is being done.
            on_arm: Told of each arm that is done.

        Raises:
            CheckpointError: If the directory holds another evaluation.
            InUseError: If another process is filling it.
        """
        board = Board(progress)
        with executor_of(executor).open(board) as pool:
            place = Place(pool, board, cores, device)
            flow = self.flow(directory, Stage(pool, self.task, self.dataset), place, on_arm)
            return run_flow(flow, pool, board)

    def flow(
        self, directory: Path, stage: Stage, place: Place, on_arm: OnArm = lambda entries: None
    ) -> Flow[Results]:
        """Its units and what becomes of them; see :meth:`run`."""
        protocol = {**self.protocol.to_json(dict(self.students)), **self.identity}
        with claimed(directory, directory=True):
            store = EvaluationStore(directory, {"task": self.task.name, **protocol})
            entries, tuning = yield from run_arms(
                stage, self.policies, self.arms, self.protocol, self.splits, store, place, on_arm
            )
            splits = {split: self.task.split_title(split) for split in self.splits}
            results = Results(self.task.name, protocol, self.provenance, splits, entries, tuning)
            results.save(directory / "results.json", overwrite=True)
        return results


def executor_of(executor: Executor | str) -> Executor:
    """Returns the executor, or the one of a name, on all it has.

    Raises:
        UnknownNameError: If there is no such name.
        DistillError: If it cannot be used here; the message says what to type.
    """
    return EXECUTORS.get(executor)() if isinstance(executor, str) else executor


def evaluate(
    dataset: OfflineDataset,
    *distilled: Distilled,
    also: Mapping[str, Distilled] | None = None,
    student: str | Sequence[str] | None = None,
    task: str | None = None,
    splits: Sequence[str] | None = None,
    protocol: Protocol | None = None,
    arms: Sequence[str] | None = None,
    coresets: Sequence[str] = (),
    random_soft: Sequence[int] = (),
    add_arms: Sequence[str] = (),
    expert: str | None = None,
    trust: bool = False,
    out: str | Path | None = None,
    executor: Executor | str = HERE,
    cores: int = 1,
    device: str = "cpu:0",
    progress: Progress = lambda what, done, total: None,
    command: str = "",
) -> Results:
    """Trains students on a dataset, on parts of it and on distilled sets, plays them, and returns the results.

    Args:
        dataset: The dataset that was distilled.
        *distilled: What it was distilled into; arms ``distilled-N`` or, with soft labels, ``soft-N``.
        also: Further sets, by the name of their arm.
        student: Registered students; by default the task's.
        task: What is played; by default what the dataset was recorded on.
        splits: Of the task; by default those that it is evaluated on.
        protocol: Numbers of students and episodes, budgets, seed.
        arms: Only these, and those of ``coresets`` and ``random_soft``.
        coresets: Further coresets as arms.
        random_soft: Further sizes of random samples with labels of the sets' teachers.
        add_arms: These arms beside the usual ones, which are left out unless they are named.
        expert: The expert's name or file; by default the one that played the dataset.
        trust: Load an expert's file that holds pickled code.
        out: Directory that keeps everything; by default nothing is kept.
        executor: Where units of work run: an executor, or the name of one. By default here, one after the other;
            ``"local"`` has a process for each core, :class:`~.executors.local.LocalExecutor` as many as it is told,
            ``"ray"`` a cluster. Results are the same, to the last bit on one kind of machine.
        cores: Torch threads of each unit, on which last bits depend.
        device: torch device.
        progress: Told of what is being done.
        command: Command line to record.
    """
    plan = plan_evaluation(
        dataset,
        distilled,
        also=also,
        student=student,
        task=task,
        splits=splits,
        protocol=protocol,
        arms=arms,
        coresets=coresets,
        random_soft=random_soft,
        add_arms=add_arms,
        expert=expert,
        trust=trust,
        device=device,
        command=command,
    )
    if out is not None:
        return plan.run(Path(out), executor=executor, cores=cores, device=device, progress=progress)
    with tempfile.TemporaryDirectory() as directory:
        kept = Path(directory) / "evaluation"
        return plan.run(kept, executor=executor, cores=cores, device=device, progress=progress)


def plan_evaluation(
    dataset: OfflineDataset,
    distilled: Sequence[Distilled],
    *,
    also: Mapping[str, Distilled] | None = None,
    student: str | Sequence[str] | None = None,
    task: str | None = None,
    splits: Sequence[str] | None = None,
    protocol: Protocol | None = None,
    arms: Sequence[str] | None = None,
    coresets: Sequence[str] = (),
    random_soft: Sequence[int] = (),
    add_arms: Sequence[str] = (),
    expert: str | None = None,
    trust: bool = False,
    device: str = "cpu:0",
    command: str = "",
) -> Evaluation:
    """Returns an evaluation that is ready to run; see :func:`evaluate`.

    Raises:
        SettingsError: If arms, splits or students are unknown or do not go together.
        DistillError: If a set was not distilled from the dataset.
    """
    played = task_of(dataset, task)
    names = [student] if isinstance(student, str) else list(student or [played.default_student])
    students = {name: STUDENTS.get(name)() for name in names}
    sets = _by_arm(dataset, distilled, also or {})
    chosen = protocol or Protocol()
    known_splits = list(splits or played.default_splits)
    if unknown := [split for split in known_splits if split not in played.splits]:
        raise SettingsError(f"split {unknown[0]!r}: {played.name} has {', '.join(played.splits)}.")
    standard = len(students) == 1 and next(iter(students.values())).imitates
    player, policies = _policies(dataset, played, sets, expert, device, trust)
    acting = None if player is None else player.policy
    make = functools.partial(standard_arms, expert=acting) if standard else compared_arms
    if random_soft and all(one.teachers is None for one in sets.values()):
        raise SettingsError(
            "random_soft: the sets have no teachers that could label random samples; give one of the method 'labels'."
        )

    rows = [
        arm
        for name, one in students.items()
        for arm in make(name, one, dataset, sets, chosen, coresets, random_soft)
    ]
    known = [*(one.name for one in policies), *(arm.name for arm in rows)]
    if missing := [name for name in [*(arms or ()), *add_arms] if name not in known]:
        raise SettingsError(f"arm {missing[0]!r}: expected some of {','.join(known)}.")
    if twice := sorted(name for name in known if known.count(name) > 1):
        raise SettingsError(
            f"two arms of the name {twice[0]!r}: give the set of 'also' that makes it another name."
        )
    if arms is not None:
        wanted = {*arms, *add_arms, *(arm.name for arm in rows if _asked(arm, coresets, random_soft))}
        rows, policies = [a for a in rows if a.name in wanted], [p for p in policies if p.name in wanted]
    else:
        rows = [arm for arm in rows if not arm.optional or arm.name in add_arms]
    identity = {
        "real_sha256": dataset.sha256,
        **_behaviour_sha256(dataset, rows),
        "distilled_sha256": {name: one.sha256 for name, one in sets.items()},
        "learners_sha256": {name: _learner_sha256(one, dataset) for name, one in students.items()},
        **played.identity(known_splits),
        "expert_sha256": player.sha256 if player else None,
    }
    provenance = {
        "command": command,
        "packages": package_versions(),
        "machine": describe_machine(),
        **played.versions(),
        "real": _about(dataset.name, dataset.provenance),
        "distilled": {name: _about(name, one.provenance) for name, one in sets.items()},
    }
    notes = [
        *(_without_expert(dataset, played, player) if arms is None else []),
        *_left_out(students, sets),
        *equal_arms(dataset, rows),
    ]
    if chosen.tuning is not None:
        chosen.tuning.check(played, dataset, students)
        if VALIDATION in known_splits:
            notes.append("budgets are chosen on the split 'validation': what students return on it is no test.")
    return Evaluation(
        played, dataset, students, policies, rows, chosen, known_splits, _json(identity), _json(provenance), notes
    )


def _asked(arm: Arm, coresets: Sequence[str], random_soft: Sequence[int]) -> bool:
    """Whether an arm is one that ``coresets`` or ``random_soft`` asks for."""
    about = arm.about
    if about.labels == "soft":
        return about.kind == "random" and about.size in random_soft
    return about.kind in coresets


def _behaviour_sha256(dataset: OfflineDataset, arms: Sequence[Arm]) -> dict[str, str]:
    """Hash of the recorded policy where students are trained on it, which that of the episodes leaves out."""
    if dataset.behaviour is None or not any(a.about.kind == "full" and a.about.labels == "soft" for a in arms):
        return {}
    return {"behaviour_sha256": hashlib.sha256(np.ascontiguousarray(dataset.behaviour).tobytes()).hexdigest()}


def _learner_sha256(student: Student, dataset: OfflineDataset) -> str:
    """Hash of a student's learner: one of other settings, though of the same name, is another student."""
    told = _without_fit(json.loads(student.learner(dataset).serialize()))
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _left_out(students: Mapping[str, Student], sets: Mapping[str, Distilled]) -> list[str]:
    """Says which sets have no arm of a student, because it learns from no soft labels."""
    soft = [name for name, one in sets.items() if one.soft]
    return [
        f"{name} learns from no soft labels, and has no arm of {', '.join(soft)}: give a set of --method hard-labels."
        for name, one in students.items()
        if soft and not one.takes_soft_labels
    ]


def _without_expert(dataset: OfflineDataset, task: Task, player: LoadedPolicy | None) -> list[str]:
    """Says why there is no arm of an expert."""
    if player is not None:
        return []
    name = task.expert_name(dataset.provenance.settings if dataset.provenance else {})
    if name == "random":
        return []
    why = (
        "does not record who played it, or that policy is not there as it was: give --expert NAME or FILE of a policy "
        f"of {task.name}"
    )
    if name is not None:
        why = f"was played by {name}, whose file holds pickled code: give --trust to load it"
    return [f"there is no arm 'expert', because {dataset.name} {why}."]


def _policies(
    dataset: OfflineDataset,
    task: Task,
    sets: Mapping[str, Distilled],
    expert: str | None,
    device: str,
    trust: bool,
) -> tuple[LoadedPolicy | None, list[PolicyArm]]:
    """The arms that train nothing: random play, the expert where there is one, and teachers."""
    policies = []
    with contextlib.suppress(DistillError):  # actions without bounds have no uniform distribution
        policies.append(PolicyArm("random-policy", ArmKind("random-policy"), task.random_policy()))
    loaded = _expert(dataset, task, expert, device, trust)
    if loaded is not None:
        policies.append(PolicyArm("expert", ArmKind("expert"), loaded.policy))
    for arm, one in sets.items():
        if one.teachers is not None:
            about = ArmKind("teachers", labels="soft", of=arm, teachers=one.teachers.sha256)
            policies.append(PolicyArm(f"teachers-of-{arm}", about, one.teachers))
    return loaded, policies


def _expert(
    dataset: OfflineDataset, task: Task, given: str | None, device: str, trust: bool
) -> LoadedPolicy | None:
    """The expert that was given, or the one that played the dataset, unless its file needs a trust nobody gave."""
    if given is not None:
        return task.load_policy(given, device=device, trust=trust)
    name = task.expert_name(dataset.provenance.settings if dataset.provenance else {})
    if name is None or name == "random":
        return None
    try:
        return task.load_policy(name, device=device, trust=trust)
    except UntrustedFileError:
        return None


def _by_arm(
    dataset: OfflineDataset, distilled: Sequence[Distilled], also: Mapping[str, Distilled]
) -> dict[str, Distilled]:
    """Distilled sets by the names of their arms, each checked to be the dataset's."""
    sets: dict[str, Distilled] = {}
    for one in distilled:
        sets[f"{'soft' if one.soft else 'distilled'}-{len(one)}"] = one
    if len(sets) < len(distilled):
        raise SettingsError(
            "two sets of one size and kind of labels: give one of them a name of its own with 'also'."
        )
    for name, one in also.items():
        if not ARM_NAME.fullmatch(name):
            raise SettingsError(f"also {name!r}: expected a name of letters, digits and hyphens.")
        if name in sets or is_reserved(name):
            raise SettingsError(
                f"also {name!r}: the table has an arm of that name, or arms whose names begin so; give another."
            )
        sets[name] = one
    if not sets:
        raise SettingsError("nothing to evaluate: give a distilled set.")
    for name, one in sets.items():
        if one.provenance is not None and one.provenance.kind != "distilled":
            raise DistillError(
                f"{name} was not distilled from {dataset.name}, nor from anything: it is a "
                f"{one.provenance.kind} dataset; {_swapped(dataset)}"
            )
        if one.source_sha256 is not None and one.source_sha256 != dataset.sha256:
            raise DistillError(_of_another(name, one, dataset))
        if len(one) > len(dataset):
            raise DistillError(
                f"{name} has {len(one)} samples, more than the {len(dataset)} transitions of {dataset.name}: the "
                "real dataset comes first."
            )
    return sets


def _of_another(name: str, one: Distilled, dataset: OfflineDataset) -> str:
    """Says what a set was distilled from, where that is not the dataset; of several versions, which there are."""
    source = one.provenance.settings.get("source") if one.provenance else None
    stem = Path(dataset.name).stem
    versions = [known for known in DATASETS.names() if known.partition("@")[0] == stem.partition("@")[0]]
    others = [known for known in versions if known != stem]
    remedy = f"give {' or '.join(others)}" if others and Path(str(source)).stem in versions else "give that one"
    return (
        f"{name} was not distilled from {dataset.name} (content SHA-256 {dataset.sha256[:12]}), but from {source!r} "
        f"({str(one.source_sha256)[:12]}): {remedy}."
    )


def _swapped(dataset: OfflineDataset) -> str:
    """What to do where a real dataset stands in the place of a distilled one."""
    if dataset.provenance is not None and dataset.provenance.kind == "distilled":
        return f"{dataset.name} is the distilled one: give the real dataset first."
    return "make one with 'rld-distill distill', and give the real dataset first."


@dataclasses.dataclass(frozen=True, eq=False)
class _GivenTeachers:
    """The teachers of a file, and how they were trained.

    Args:
        path: The file.
        samples: What they labelled.
        teachers: They.
        theirs: The configuration that the file records, and its seed.
    """

    path: Path
    samples: Distilled
    teachers: Teachers
    theirs: Mapping[str, Any]

    def settings(self, kind: type[Method]) -> dict[str, Any]:
        """Returns the options that they were trained with, but for those of the samples that they labelled."""
        return {
            field.name: self.theirs[field.name]
            for field, _ in options_of(kind)
            if field.name in self.theirs and field.name in OF_TEACHERS
        }

    def label(self, method: LabelDistillationConfig, seed: int) -> LabelDistillationConfig:
        """Returns the method with these teachers.

        Raises:
            SettingsError: If they were trained with other settings than the method's.
        """
        asked = json.loads(json.dumps(method.to_json()))
        known_to_teachers = {"learner", "learner_type", *OF_TEACHERS}
        if method.seeds_teachers_alone:
            asked["seed"] = seed
            known_to_teachers.add("seed")
        defaults = {f.name: f.default for f in dataclasses.fields(method)}
        for name, value in asked.items():
            if name not in known_to_teachers:
                continue
            # what version 0.1 did not record was as it is now
            known = self.theirs.get(name, defaults.get(name, value))
            if name == "learner" and value != known:  # too long to print
                raise SettingsError(
                    f"{self.path}'s teachers are another student's: give the one that the file was made for."
                )
            if value != known:
                raise SettingsError(
                    f"{self.path}'s teachers have {name}={known!r}, asked for was {value!r}: leave it out, or give "
                    "the one that the file was made with."
                )
        return dataclasses.replace(method, given=self.teachers)


def _read_teachers(path: Path, dataset: OfflineDataset, device: str) -> _GivenTeachers:
    """Reads the teachers of a file, which must be of the dataset."""
    expected = "expected a file of 'rld-distill distill DATASET --method labels'"
    if not path.exists():
        raise DatasetFormatError(f"{path} does not exist: {expected}.")
    other = Distilled.load(path, device=device)
    if other.teachers is None or other.provenance is None:
        raise DistillError(f"{path} has no teachers: {expected}.")
    settings = other.provenance.settings
    by_generator = "rng" in settings  # and not by a seed
    if settings.get("source_sha256") is None or settings.get("config") is None or by_generator:
        raise DistillError(
            f"{path} does not record how its teachers were trained: give them as 'given' to the method itself, or "
            "make the file with distill()."
        )
    if settings["source_sha256"] != dataset.sha256:
        raise DistillError(f"{_of_another(str(path), other, dataset)} Teachers are for what they were trained on.")
    theirs = {"seed": settings.get("seed"), **settings["config"]}
    return _GivenTeachers(path, other, other.teachers, theirs)


def _provenance(
    dataset: OfflineDataset, name: str, method: Method, recorded: Mapping[str, Any], seed: int, command: str
) -> Provenance:
    settings = {
        **recorded,
        "method": name,
        "steps": method.total_steps,
        "seed": seed,
        "config": _json(method.to_json()),
        "source": dataset.name,
        "source_sha256": dataset.sha256,
        "version": version("d3rlpy-distill"),
    }
    if not isinstance(method, LearnedMethod):
        del settings["expert_sha256"]
    return Provenance("distilled", dataset.task, dataset.action_size, command, settings)


def _signed(made: Made, provenance: Provenance) -> Distilled:
    """The set with its provenance: the numbers of threads, too, that made it, where it was interrupted."""
    threads = {"torch threads": ", then ".join(map(str, made.threads))}
    signed = dataclasses.replace(provenance, packages={**provenance.packages, **threads})
    return dataclasses.replace(made.distilled, provenance=signed)


def _check_fits(dataset: OfflineDataset, task: Task) -> None:
    given = (dataset.observation_shape, dataset.action_size, dataset.discrete)
    expected = (task.observation_shape, task.action_size, task.discrete)
    if given != expected:
        said = [
            f"observations of shape {shape}, {size} {'discrete actions' if discrete else 'dimensions of actions'}"
            for shape, size, discrete in (given, expected)
        ]
        raise DistillError(f"{dataset.name} has {said[0]}: expected {said[1]}, those of {task.name}.")


def _about(name: str, provenance: Provenance | None) -> dict[str, Any]:
    return {
        "file": name,
        "command": None if provenance is None else provenance.command,
        "settings": None if provenance is None else _without_fits(provenance.settings),
    }


def _without_fits(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without the statistics of the learner's scalers: the data determine them, and the set's own file keeps them."""
    config = settings.get("config")
    learner = config.get("learner") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(learner, Mapping):
        return dict(settings)
    return {**settings, "config": {**config, "learner": _without_fit(learner)}}


def _without_fit(learner: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"type": value.get("type")} if name.endswith("_scaler") and isinstance(value, Mapping) else value
        for name, value in learner.items()
    }


def _json(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as JSON gives it back: lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain
