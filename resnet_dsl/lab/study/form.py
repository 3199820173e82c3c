"""The form of a study file: its keys, their kinds and ranges. What needs more than one key to judge is in `reading`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from resnet_dsl.lab.study.measures import MeasureName
from resnet_dsl.language.augment import FORM

Setting = Literal["usual", "quick", "long"]
"""Which of a study's lengths: the file's own, or one of its two blocks."""

Rule = Literal["greater", "at_most", "equivalent", "between"]

Rate = Annotated[float, Field(gt=0, le=1e6)]


class Hypothesis(BaseModel):
    """A statement about two arms, with the rule that decides it (`verdict.judge`)."""

    model_config = FORM

    that: str = Field(min_length=1, max_length=200, description="What is claimed, in a few words.")
    measure: MeasureName = Field(description="What is compared.")
    of: str = Field(description="An arm.")
    minus: str | None = Field(None, description="The arm that it is compared with, by differences.")
    over: str | None = Field(None, description="The arm that it is compared with, by ratios (the rule between).")
    rule: Rule = Field(
        description="greater: the difference is above margin; at_most: it is not above margin; equivalent: it lies within margin of 0; "
        "between: the ratio lies between low and high."
    )
    margin: float = Field(0.0, ge=0, description="The difference that counts, in the measure's unit.")
    low: float | None = Field(None, gt=0, description="The lowest ratio that is claimed.")
    high: float | None = Field(None, gt=0, description="The highest ratio that is claimed.")

    @property
    def other(self) -> str:
        """The arm that `of` is compared with."""
        return str(self.minus if self.minus is not None else self.over)


class Budget(BaseModel):
    """How much is spent; in `quick` and `long` a key that is left out is the study's own."""

    model_config = FORM

    seeds: int | None = Field(None, ge=1, le=1000, description="Runs of each arm at each learning rate, with the seeds 0, 1, 2 and so on.")
    learning_rates: tuple[Rate, ...] | None = Field(
        None, strict=False, min_length=1, max_length=20, description="The grid, the same for every arm."
    )
    steps: int | None = Field(None, ge=1, le=1_000_000_000, description="Batches of a run; left out: the recipe's own length.")
    limit_train: int | None = Field(None, ge=1, le=1_000_000_000, description="Training images that are used at most.")
    recipe: Any = Field(
        None, description="A recipe's name, or keys of one. In quick and long keys are laid over the study's own, and a name replaces it."
    )
    network: Any = Field(None, description="Keys of a spec that every arm extends. In quick and long: keys that are laid over every arm.")
    tail: int | None = Field(None, ge=1, le=1_000_000, description="The training error is taken over this many last batches.")
    judged: int | None = Field(None, ge=1, le=10_000_000, description="Training images that the final weights are evaluated on.")


class ClaimSource(BaseModel):
    """Where a claim stands."""

    model_config = FORM

    note: str | None = Field(None, description="The note and place.")
    paper: str | None = Field(None, description="Authors, year, section.")


class StudyForm(Budget):
    """A study file."""

    title: str = Field(min_length=1, max_length=120, description="The study in one line.")
    claim: str = Field(min_length=1, max_length=1000, description="The claim, quoted.")
    source: ClaimSource = Field(description="Where the claim stands.")
    data: Any = Field(
        description="A data set's name, or names with the keys of a spec that fit networks (and under train the recipe) to each; the first is the default."
    )
    arms: Mapping[str, Any] = Field(
        min_length=1, max_length=32, description="Specs by name; each extends `network` unless it extends something else."
    )
    measures: tuple[MeasureName, ...] = Field(
        ("train_error", "test_error"), strict=False, min_length=1, description="What the tables show."
    )
    level: float | None = Field(None, gt=0, description="The training loss that steps_to counts steps to.")
    decide: tuple[Hypothesis, ...] = Field(strict=False, min_length=1, max_length=64, description="The comparisons; all have to hold.")
    notes: tuple[str, ...] = Field((), strict=False, description="What else has to be said under the result.")
    quick: Budget = Field(Budget(), description="What the setting quick changes.")
    long: Budget = Field(Budget(), description="What the setting long changes.")
