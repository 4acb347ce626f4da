"""The command `steward init`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

# Said again in init.TEMPLATES, which is imported only when a project is made: `steward --help` has to be quick.
NAMES: Final = ("minimal", "chess", "support")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--template", type=click.Choice(NAMES), default="minimal", show_default=True, help="What it starts from.")
def init(folder: Path, template: str) -> None:
    """Make a small project in DIR: a lifecycle file, handlers, a team, a test, and a README that explains them.

    Files that are there already are never overwritten. Exit code 0: made, 1: not.

    \b
    Examples:
      steward init desk                       the smallest one
      steward init match --template chess     the chess team with the whole lifecycle
    """
    from .init import InitError, create, next_steps

    try:
        made = create(folder, template)
    except InitError as error:
        click.echo(f"steward: {error}", err=True)
        sys.exit(1)
    click.echo(f"Made in {folder} ({template}):")
    for path in made:
        click.echo(f"  {path.relative_to(folder)}")
    click.echo(next_steps(folder, template))
