"""``rld-distill quickstart``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..options import seed_option

STUDENTS = 2
EPISODES = 20
BC_STEPS = 200
CONVERGED_STEPS = 500
DISTILL_STEPS = 100


@click.command("quickstart")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("quickstart"),
    show_default=True,
    help="Directory for everything it makes.",
)
@seed_option
@click.pass_context
def command(ctx: click.Context, out: Path, seed: int) -> None:
    """Collect, distill and evaluate on starpilot, end with the table and a picture: minutes on 2 cores.

    Far smaller than the full protocol (10 students, 100 episodes, 1000 steps), so its figures are a
    demonstration and no result. Interrupted, it goes on when it is run again.
    """
    from .collect import command as collect
    from .distill import command as distill
    from .evaluate import command as evaluate
    from .gallery import draw_gallery

    real, synthetic = out / "starpilot.h5", out / "starpilot-150.h5"
    click.echo("1/4 collecting 100 episodes of the bundled starpilot expert", err=True)
    ctx.invoke(collect, game="starpilot", out=real, seed=seed)
    click.echo(f"2/4 distilling them into 150 samples, {DISTILL_STEPS} steps", err=True)
    ctx.invoke(distill, dataset=real, out=synthetic, steps=DISTILL_STEPS, seed=seed)
    click.echo(
        f"3/4 training and playing students: {STUDENTS} an arm instead of 10, {EPISODES} episodes instead of 100, "
        f"{BC_STEPS} BC steps instead of 1000",
        err=True,
    )
    ctx.invoke(
        evaluate,
        real=real,
        synthetic=synthetic,
        out=out / "results",
        students=STUDENTS,
        episodes=EPISODES,
        bc_steps=BC_STEPS,
        converged_steps=CONVERGED_STEPS,
        seed=seed,
    )
    click.echo("4/4 drawing the synthetic frames", err=True)
    draw_gallery(synthetic, out / "starpilot-150.png", frames=20)
