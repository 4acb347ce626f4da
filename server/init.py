"""`steward init`: a small project of one's own, from templates that are part of the package."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from engine.errors import StewardError
from engine.language.schema import SCHEMA_FILE

from .calling import NAME, called
from .version import version

TEMPLATES: Final[Mapping[str, str]] = {
    "minimal": "a clerk who counts words, and the smallest lifecycle that runs a team",
    "chess": "the chess match with its whole lifecycle; needs the extra `chess`",
    "support": "the support desk with its whole lifecycle",
}
FOLDER: Final = Path(__file__).parent / "templates"
SHIPPED: Final = FOLDER / "shipped.yaml"  # the repository's lifecycle.yaml
SUFFIX: Final = ".txt"  # so that no tool takes a template for a module of ours
LIFECYCLE: Final = Path("lifecycle.yaml")
SCHEMA: Final = Path("lifecycle.schema.json")
MODELINE: Final = "# yaml-language-server: $schema="
SHIPPED_MODELINE: Final = f"{MODELINE}engine/lifecycle.schema.json\n"
# What a project changes in the shipped file: a person's words are counted, and the guard says how many there may be.
SHIPPED_SAY: Final = re.compile(r"^      say: \{do: (?P<deliver>.+)\}\n", re.MULTILINE)
OWN_SAY: Final = """\
      # has_turns_left, count_turn and say_goodbye are in myapp/handlers.py.
      say:
        - {when: {has_turns_left: {most: 200}}, do: [count_turn, \\g<deliver>]}
        - {to: terminating, do: say_goodbye}
"""


class InitError(StewardError):
    """The author's: a project cannot be made there, and what would work."""


def files_of(template: str) -> dict[Path, str]:
    """Path within the project -> text, of everything a new project has."""
    found = dict(_texts(FOLDER / "common")) | dict(_texts(FOLDER / template))
    found.setdefault(LIFECYCLE, shipped_lifecycle())
    found[SCHEMA] = SCHEMA_FILE.read_text(encoding="utf-8")
    release = ".".join(version().split(".")[:2])
    extra = "[chess]" if template == "chess" else ""
    requirement = f"session-steward{extra}>={release}"
    return {path: text.replace("{{requirement}}", requirement) for path, text in sorted(found.items())}


def shipped_lifecycle() -> str:
    """The repository's file as a project's own: its schema lies beside it, and it names the project's handlers."""
    text = SHIPPED.read_text(encoding="utf-8")
    assert text.startswith(SHIPPED_MODELINE), "the shipped lifecycle begins with its modeline"
    text, count = SHIPPED_SAY.subn(OWN_SAY, f"{MODELINE}{SCHEMA}\n{text.removeprefix(SHIPPED_MODELINE)}")
    assert count == 1, "the shipped lifecycle says once, for all states, what `say` does"
    return text


def _texts(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        place = path.relative_to(folder).with_name(".gitignore" if name == "gitignore" else name)
        yield place, path.read_text(encoding="utf-8")


def create(folder: Path, template: str) -> list[Path]:
    """Write a project; the paths of its files. Raises InitError, and then nothing was written."""
    files = files_of(template)
    if folder.exists() and not folder.is_dir():
        raise InitError(f"{folder} is a file; name a folder, new or empty")
    for parent in sorted({folder / parent for path in files for parent in path.parents if parent != Path()}):
        # Through a link, files would land outside of the folder that was named.
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            raise InitError(f"{parent} is in the way: a folder has to be there; name another, or move it away")
    there = [str(folder / path) for path in files if (folder / path).exists() or (folder / path).is_symlink()]
    if there:
        raise InitError(f"already there, and left as it is: {', '.join(there)}; name another folder, or move it away")
    made: list[Path] = []
    try:
        for path, text in files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("x", encoding="utf-8") as file:
                made.append(place)
                file.write(text)
    except OSError as error:
        for place in made:
            place.unlink(missing_ok=True)
        where = error.filename or folder
        raise InitError(f"{where} cannot be written: {error.strerror}; name a folder that is yours") from error
    return [folder / path for path in files]


def next_steps(folder: Path, template: str) -> str:
    """What to do now, as commands that can be copied, and that work after the `cd` too."""
    steward, pytest = called(), "pytest"
    if steward != NAME:
        script = Path(sys.argv[0]).absolute()
        steward = shlex.quote(str(script)) if script.name == NAME else steward
        pytest = f"{shlex.quote(sys.executable)} -m pytest"
    commands = {
        f"{steward} check": "every mistake in lifecycle.yaml, with its place",
        pytest: "needs pytest and hypothesis: pip install pytest hypothesis",
        f"{steward} serve": "then open the address it prints",
    }
    if template == "chess":
        commands[f"{steward} play"] = "in a second terminal, in this folder too"
    width = max(map(len, commands))
    go = [] if folder.resolve() == Path.cwd() else [f"  cd {shlex.quote(str(folder))}"]
    lines = [f"  {command:{width}}    {what}" for command, what in commands.items()]
    return "\n".join(["Next:", *go, *lines, "README.md there says what is what, and what to change first."])
