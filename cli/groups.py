"""Commands out of tables: rows are listed in help without importing what they call; a row's function is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import typer
from typer.core import TyperGroup

from resnet_dsl.cli.quick import quicken

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Row(Protocol):
    """What a table says of a command; its help ends with the examples."""

    @property
    def name(self) -> str:
        """The word that calls it."""

    @property
    def summary(self) -> str:
        """What it does, for a list."""

    @property
    def examples(self) -> tuple[str, ...]:
        """Command lines that run."""


class Group(TyperGroup):
    """Commands by name out of `sections`, each under its heading. `what` is what one is called."""

    sections: ClassVar[Mapping[str, Sequence[Any]]]
    what: ClassVar[str] = "command"

    @staticmethod
    def build(row: Any) -> Any:
        """The command of a row."""
        raise NotImplementedError

    def rows(self) -> dict[str, Any]:
        """The rows by name, in the table's order."""
        return {row.name: row for rows in self.sections.values() for row in rows}

    def list_commands(self, ctx: Any) -> list[str]:
        """In the table's order."""
        return list(self.rows())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a row, or None."""
        row = self.rows().get(cmd_name)
        return None if row is None else self.build(row)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names."""
        if args[0] not in self.rows() and not ctx.resilient_parsing:
            from resnet_dsl.cli.mistakes import no_command

            raise no_command(args[0], list(self.rows()), self.what, ctx.command_path)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One section for each heading."""
        for heading, rows in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(row.name, row.summary) for row in rows])


def command(row: Row, function: Callable[..., None]) -> Any:
    """The command of a row that calls a function, its options read from the function's signature."""
    one = typer.Typer(add_completion=False, rich_markup_mode=None)
    one.command(row.name, epilog=epilog(row), short_help=row.summary, context_settings=CONTEXT)(function)
    return quicken(typer.main.get_command(one))


def group(row: Row, cls: type[Group], about: str) -> Any:
    """The command of a row that has commands of its own; called alone it shows its help."""
    one = typer.Typer(
        cls=cls, name=row.name, add_completion=False, rich_markup_mode=None, invoke_without_command=True, context_settings=CONTEXT,
        epilog=epilog(row), short_help=row.summary, help=about,
    )  # fmt: skip

    @one.callback()
    def root(ctx: typer.Context) -> None:
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    return quicken(typer.main.get_command(one))


def epilog(row: Row) -> str:
    """The examples at the end of a help text."""
    word = "Example" if len(row.examples) == 1 else "Examples"
    return "\b\n" + "\n".join([f"{word}:", *(f"  {e}" for e in row.examples)])
