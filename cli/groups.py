"""Commands out of tables: rows are listed in help without importing what they call; a row's function is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from resnet_dsl.cli.line import HELP, Parameter, UsageError, echo, parameters, sort, values
from resnet_dsl.diagnostics import did_you_mean, quote


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


@dataclass(frozen=True, slots=True)
class Command:
    """A function to call with what a line says."""

    about: str
    examples: Sequence[str]
    known: tuple[Parameter, ...]
    run: Callable[..., None]

    def help(self, path: str) -> str:
        """The text of `--help`."""
        from resnet_dsl.cli.helptext import help_text

        return help_text(path, self.about, self.known, {}, self.examples)


@dataclass(frozen=True, slots=True)
class Group:
    """Commands by name out of `sections`, each under its heading. Alone it shows its help."""

    about: str
    examples: Sequence[str]
    sections: Mapping[str, Sequence[Row]]
    build: Callable[[Any], Command | Group]
    """The command of a row."""
    what: str = "command"
    """What one of them is called."""
    actions: tuple[tuple[Parameter, Callable[[], None]], ...] = ()
    """Options that do something in place of a command."""

    @property
    def known(self) -> tuple[Parameter, ...]:
        """Its options."""
        return (*(option for option, _ in self.actions), HELP)

    @property
    def rows(self) -> dict[str, Row]:
        """The rows by name, in the table's order."""
        return {row.name: row for rows in self.sections.values() for row in rows}

    def help(self, path: str) -> str:
        """The text of `--help`."""
        from resnet_dsl.cli.helptext import help_text

        listed = {heading: [(row.name, row.summary) for row in rows] for heading, rows in self.sections.items()}
        return help_text(path, self.about, self.known, listed, self.examples, group=True)


class Misused(Exception):
    """A mistake in the words of a line, and whose words they were: `resnet-dsl inspect`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def parse(node: Command | Group, path: str, words: Sequence[str]) -> Callable[[], None]:
    """What a line asks for, ready to be called. Raises Misused."""
    try:
        found = sort(words, node.known, group=isinstance(node, Group))
        if HELP.name in found.given:
            return partial(_show_help, node, path)
        if isinstance(node, Command):
            return partial(node.run, **values(found, node.known))
        for option, action in node.actions:
            if option.name in found.given:
                return action
        if not found.rest:
            return partial(_show_help, node, path)
        name, *rest = found.rest
        if name not in node.rows:
            raise UsageError(f"there is no {node.what} {quote(name)}: {did_you_mean(name, node.rows, what=f'a {node.what}')}")
        row = node.rows[name]
    except UsageError as e:
        raise Misused(path, str(e)) from None
    return parse(node.build(row), f"{path} {name}", rest)


def _show_help(node: Command | Group, path: str) -> None:
    echo(node.help(path), nl=False)


def command(row: Row, function: Callable[..., None]) -> Command:
    """The command of a row that calls a function, its options read from the function's signature."""
    return Command(function.__doc__ or "", row.examples, parameters(function), function)
