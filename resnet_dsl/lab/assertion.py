"""What is expected of a probe's figures, `first_over_last < 20`, in the language of expressions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from resnet_dsl.diagnostics import Argument, SpecError, did_you_mean, quote, refuse
from resnet_dsl.lab.finding import figure_text
from resnet_dsl.language.expressions import Expression, ExpressionError, parse

_AT = Argument("assert")


@dataclass(frozen=True, slots=True)
class Assertion:
    """A condition over figures."""

    expression: Expression

    @staticmethod
    def read(text: str) -> Assertion:
        """From text (docs/language.md, Expressions). Raises SpecError (exit 2) where it is no expression."""
        try:
            return Assertion(parse(text))
        except ExpressionError as e:
            raise refuse(e.code, f"{quote(text)}: {e.message}", e.help, at=_AT) from None

    def require_names(self, figures: Mapping[str, float]) -> None:
        """Refuse what is no condition over these figures. Raises SpecError (exit 2)."""
        text = quote(self.expression.text)
        for name in sorted(self.expression.names - figures.keys()):
            raise refuse("unknown-name", f"{text}: there is no figure {quote(name)}", did_you_mean(name, figures, what="a figure"), at=_AT)
        try:
            kind = self.expression.kind(dict.fromkeys(figures, "number"))
        except ExpressionError as e:
            raise refuse(e.code, f"{text}: {e.message}", e.help, at=_AT) from None
        if kind != "condition":
            raise refuse(
                "expression-kind",
                f"{text} is a number, and an assertion is true or false",
                f"compare it: {self.expression.text} < 20",
                at=_AT,
            )

    def failure(self, figures: Mapping[str, float]) -> SpecError | None:
        """The error (exit 1) with the figures' values where it does not hold; None where it does.

        A figure that is not finite makes every assertion about it fail. Raises SpecError (exit 2) as `require_names`, and where the
        condition cannot be computed.
        """
        self.require_names(figures)
        used = {name: figures[name] for name in figures if name in self.expression.names}
        said = ", ".join(f"{name} = {figure_text(value)}" for name, value in used.items())
        if all(map(math.isfinite, used.values())):
            try:
                # As the shortest decimal that is this float: exact for what people write, and no fraction too fine to compute with.
                holds = self.expression.value({name: Fraction(repr(value)) for name, value in used.items()})
            except ExpressionError as e:
                raise refuse(e.code, f"{quote(self.expression.text)}: {e.message}", e.help, at=_AT) from None
            if holds:
                return None
        help = "the figures of a probe stand below its table, and under `figures` in JSON"
        return refuse("assertion", f"{self.expression.text} does not hold: {said}", help, at=_AT, exit_code=1)


def failures(assertions: Sequence[Assertion], figures: Mapping[str, float]) -> list[SpecError]:
    """The errors (exit 1) of the assertions that do not hold.

    Raises SpecError (exit 2) where one of them is no condition over these figures, whether others hold or not.
    """
    for assertion in assertions:
        assertion.require_names(figures)
    return [found for assertion in assertions if (found := assertion.failure(figures)) is not None]
