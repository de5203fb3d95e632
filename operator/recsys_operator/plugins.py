"""Commands of other packages, by the entry-point group ``recsys.commands``: known by name, imported when they run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

GROUP = "recsys.commands"

FINETUNE_COMMANDS: Mapping[str, str] = {
    "finetune": "Train the tuned model on a resource's own catalogue and interactions.",
    "evaluate": "Measure a model on held-out interactions.",
    "samples": "Make the sample shop and the sample models again.",
}
"""Commands of recsys-finetune and their help lines: told without importing it, and where it is not installed."""


class ListedCommand(TyperCommand):
    """A command that is known by its name and help line alone. ``entry`` is None where its package is absent."""

    def __init__(self, name: str, entry: EntryPoint | None) -> None:
        package = entry.dist.name if entry is not None and entry.dist is not None else "another package"
        super().__init__(name=name, help=FINETUNE_COMMANDS.get(name, f"From {package}."))
        self.entry = entry

    def load(self) -> Any:
        """The command itself.

        Raises:
            typer.Exit: it is not installed or cannot be imported; the reason was printed in one line.
        """
        if self.entry is None:
            how = "make dev (in a checkout), or uv pip install recsys-finetune"
            typer.secho(f"recsys {self.name} is part of recsys-finetune, which is not installed: {how}", err=True)
            raise typer.Exit(1)
        try:
            plugin = self.entry.load()
        except ImportError as error:
            typer.secho(f"recsys {self.name} cannot be loaded from {self.entry.value}: {error}", err=True)
            raise typer.Exit(1) from None
        return as_command(plugin)


def as_command(plugin: Any) -> Any:
    """A typer.Typer becomes a group, a function a command."""
    if isinstance(plugin, typer.Typer):
        return get_command(plugin)
    app = typer.Typer(add_completion=False)
    app.command()(plugin)
    return get_command(app)


class PluginGroup(TyperGroup):
    """The CLI's own commands, then those of other packages."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted((FINETUNE_COMMANDS.keys() | _installed().keys()) - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """`recsys --help` asks for every one of them: nothing is imported here."""
        own = super().get_command(ctx, cmd_name)
        installed = _installed()
        if own is not None or cmd_name not in FINETUNE_COMMANDS.keys() | installed.keys():
            return own
        return ListedCommand(cmd_name, installed.get(cmd_name))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, ListedCommand) else command, rest


@cache
def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
