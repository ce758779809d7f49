"""``rld-distill play``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from ..options import GAME, ConfigCommand, echo_result, json_option, seed_option

FRAMES_PER_SECOND = 15
SIZE = 256
BAR = 20

EPILOG = """
Examples:

  rld-distill play starpilot starpilot results/starpilot/students/distilled-150/0.safetensors --out play.gif

  rld-distill play starpilot starpilot random --start-level 200 --num-levels 100 --out unseen.gif
"""


@click.command("play", cls=ConfigCommand, epilog=EPILOG)
@click.argument("game", type=GAME)
@click.argument("policies", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("play.gif"),
    show_default=True,
    help="Film to make, a .gif.",
)
@click.option("--start-level", type=click.IntRange(0), default=0, show_default=True, help="First level.")
@click.option("--num-levels", type=click.IntRange(1), default=200, show_default=True, help="Levels to draw from.")
@click.option("--mode", type=click.Choice(["easy", "hard"]), default="easy", show_default=True, help="Difficulty.")
@click.option("--greedy/--sampled", default=False, show_default=True, help="How actions are chosen.")
@click.option("--max-steps", type=click.IntRange(1), default=600, show_default=True, help="Steps at most.")
@seed_option
@json_option
def command(
    game: str,
    policies: tuple[str, ...],
    out: Path,
    start_level: int,
    num_levels: int,
    mode: str,
    greedy: bool,
    max_steps: int,
    seed: int,
    as_json: bool,
) -> None:
    """Film POLICIES side by side on the same level of GAME, one episode each.

    A policy is a bundled expert, the .safetensors file of an expert, that of a student which 'evaluate' kept, or
    'random'.
    """
    if out.suffix != ".gif":
        raise click.BadParameter(f"{out}: expected a name that ends in .gif.", param_hint="--out")
    from d3rlpy_distill.files import appears_atomically
    from procgen_datasets import Levels, ProcgenVecEnv
    from procgen_datasets.film import film

    from ..progress import ProgressBar

    loaded = [_load(name, game) for name in policies]
    env = ProcgenVecEnv(
        game,
        1,
        levels=Levels(start_level, num_levels),
        rand_seed=seed,
        mode=mode,
        copies=len(loaded),
        human_frames=True,
    )
    level = int(env.level_seeds()[0])
    returns: list[float] = []
    pictures = []
    with ProgressBar(f"filming {game}", max_steps) as bar:
        for shot in film(env, loaded, greedy=greedy, seed=seed, max_steps=max_steps):
            pictures.append(_picture(shot, [_title(name) for name in policies]))
            returns = shot.returns.tolist()
            bar.advance()
    with appears_atomically(out) as partial:
        pictures[0].save(
            partial, "GIF", save_all=True, append_images=pictures[1:], duration=1000 // FRAMES_PER_SECOND, loop=0
        )
    result = {"path": str(out), "level": level, "returns": dict(zip(policies, returns, strict=True))}
    played = ", ".join(f"{_title(name)} {value:g}" for name, value in zip(policies, returns, strict=True))
    echo_result(as_json, result, f"{out}: level {level}, returns {played}")


def _load(name: str, game: str) -> Any:
    """Returns a policy: random, an expert or a student."""
    from procgen_datasets import load_expert
    from procgen_datasets.policies import RandomPolicy

    if name == "random":
        return RandomPolicy()
    path = Path(name)
    if path.suffix == ".safetensors" and path.exists() and (student := _load_student(path)) is not None:
        return student
    expert = load_expert(name)
    if expert.card.get("game", game) != game:
        raise click.ClickException(f"{name} plays {expert.card['game']}, not {game}.")
    return expert


def _load_student(path: Path) -> Any:
    """Returns the paper's student with the weights in the file, or None if they are another network's."""
    import safetensors.torch

    from d3rlpy_distill import PAPER_BC, paper_student
    from d3rlpy_distill.evaluation import StudentPolicy
    from d3rlpy_distill.learner import build_learner, learner_network

    try:
        weights = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise click.ClickException(f"{path} is not a readable safetensors file: {error}") from error
    learner = build_learner(paper_student(PAPER_BC), (3, 64, 64), 15, seed=0)
    network = learner_network(learner)
    expected = {k: v.shape for k, v in network.state_dict().items()}
    if {k: v.shape for k, v in weights.items()} != expected:
        return None
    network.load_state_dict(weights)
    return StudentPolicy(learner)


def _title(name: str) -> str:
    path = Path(name)
    return f"{path.parent.name} {path.stem}" if path.stem.isdigit() else path.stem


def _picture(shot: Any, titles: Sequence[str]) -> Any:
    """Draws a shot: the policies side by side, each with its name and its return so far above it."""
    import numpy as np
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIZE * len(titles), SIZE + BAR))
    draw = ImageDraw.Draw(picture)
    for i, (title, text) in enumerate(zip(titles, _scores(shot), strict=True)):
        frame = Image.fromarray(np.ascontiguousarray(shot.frames[i])).resize((SIZE, SIZE), Image.Resampling.BOX)
        picture.paste(frame, (i * SIZE, BAR))
        draw.text((i * SIZE + 4, 4), f"{title}: {text}", fill="white")
    return picture.quantize()


def _scores(shot: Any) -> Iterator[str]:
    for value, over in zip(shot.returns, shot.over, strict=True):
        yield f"{value:g}{' (over)' if over else ''}"
