"""Polynomials in several variables with exact coefficients, and how one is found through counts on a lattice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import comb, prod

Monomial = tuple[int, ...]
"""The powers of the variables, in their order."""


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Exact coefficients by monomial."""

    names: tuple[str, ...]
    terms: Mapping[Monomial, Fraction]

    def __call__(self, values: Mapping[str, int]) -> Fraction:
        """Its value at a point."""
        powers = ((c, zip(self.names, monomial, strict=True)) for monomial, c in self.terms.items())
        return sum((c * prod(values[n] ** e for n, e in pairs) for c, pairs in powers), Fraction())

    def __add__(self, other: Polynomial) -> Polynomial:
        """The sum."""
        return Polynomial(self.names, _sum([*self.terms.items(), *other.terms.items()]))

    def __str__(self) -> str:
        """As people write it, high degrees first: `9*w1^2 + 2*w1`."""
        text = ""
        for monomial, c in sorted(self.terms.items(), key=lambda item: (-sum(item[0]), tuple(-e for e in item[0]))):
            factors = [n if e == 1 else f"{n}^{e}" for n, e in zip(self.names, monomial, strict=True) if e]
            size = [] if abs(c) == 1 and factors else [str(abs(c))]
            text += (" - " if c < 0 else " + ") if text else ("-" if c < 0 else "")
            text += "*".join([*size, *factors])
        return text or "0"


def lattice(degrees: Sequence[int], total: int) -> list[Monomial]:
    """All points from 0 to `degrees` whose coordinates add up to `total` at most."""
    return [point for point in product(*(range(d + 1) for d in degrees)) if sum(point) <= total]


def through(
    names: tuple[str, ...], origin: Sequence[int], steps: Sequence[int], points: Iterable[Monomial], values: Mapping[Monomial, int]
) -> Polynomial:
    """The one polynomial with the lattice's own monomials that has these `values` at the points of a lattice.

    Point d stands for the variables `origin + d * steps`. Newton's forward differences: with each point the lattice holds
    all that lie under it, so no equations have to be solved.
    """
    terms: list[tuple[Monomial, Fraction]] = []
    for point in points:
        difference = sum(
            (-1) ** (sum(point) - sum(under)) * prod(map(comb, point, under)) * values[under]
            for under in product(*(range(e + 1) for e in point))
        )
        if difference:
            factors = [_choose(e, a, g) for e, a, g in zip(point, origin, steps, strict=True)]
            terms += [
                (powers, difference * prod((f[e] for f, e in zip(factors, powers, strict=True)), start=Fraction(1)))
                for powers in product(*(range(len(f)) for f in factors))
            ]
    return Polynomial(names, _sum(terms))


def _choose(k: int, origin: int, step: int) -> list[Fraction]:
    """((x - origin) / step choose k) as coefficients of x, lowest first."""
    found = [Fraction(1)]
    for i in range(k):
        shift, scale = Fraction(-origin - i * step, step * (i + 1)), Fraction(1, step * (i + 1))
        found = [shift * a + scale * b for a, b in zip([*found, Fraction()], [Fraction(), *found], strict=True)]
    return found


def _sum(terms: Iterable[tuple[Monomial, Fraction]]) -> dict[Monomial, Fraction]:
    total: dict[Monomial, Fraction] = {}
    for monomial, c in terms:
        total[monomial] = total.get(monomial, Fraction()) + c
    return {monomial: c for monomial, c in total.items() if c}
