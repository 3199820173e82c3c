"""What a study's folder holds as JSON: the same models write it and validate it when it is read. No torch here.

Keys stand in the order of their fields, and what does not apply is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from resnet_dsl.lab.study.form import Rule, Setting
from resnet_dsl.records.document import Number, StoredDocument, Text, Texts, Whole

FORMAT = 1

Verdict = Literal["supported", "not supported", "cannot tell at this budget"]
SUPPORTED: Verdict = "supported"
NOT_SUPPORTED: Verdict = "not supported"
CANNOT_TELL: Verdict = "cannot tell at this budget"

Figure = Annotated[int, Field(ge=-(10**15), le=10**15)] | Number
"""A whole number stays one."""
Numbers = Annotated[tuple[Number, ...], Field(strict=False)]
Measures = Mapping[Text, Number | None]
"""Values by the names of `measures.MEASURES`; None where there is no number, as of a loss that diverged."""
Point = Annotated[tuple[Whole, Number], Field(strict=False)]
Points = Annotated[tuple[Point, ...], Field(strict=False)]
"""Training error in percent over steps."""


class RegisteredRuns(StoredDocument):
    """plan.json: the digest of the rule that stood when the first run was begun, and of each run by its name."""

    rule: Text
    runs: Mapping[Text, Text]


class RunMeasures(StoredDocument):
    """measures.json, of a finished run. `diverged` says why where its loss was not finite; `identity` is its task's."""

    identity: Text
    diverged: Text | None
    measures: Measures
    curve: Points
    steps: Whole
    data_sha256: Text | None
    weights_sha256: Text | None


class Citation(StoredDocument):
    """Where a claim is made."""

    note: Text | None
    paper: Text | None


class StudyData(StoredDocument):
    """The data set, and how many of its training images are used (None: all)."""

    name: Text
    classes: Whole
    limit_train: Whole | None
    sha256: Text | None


class Judgement(StoredDocument):
    """A comparison that was decided. `pairs` are the differences (the rule between: ratios) of runs of one seed, `interval` is
    Student's 95 % interval of their mean, and `why` says in one sentence where it lies.
    """

    that: Text
    measure: Text
    of: Text
    minus: Text | None
    over: Text | None
    rule: Rule
    low: float | None = None
    high: float | None = None
    margin: float = 0.0
    pairs: Annotated[tuple[Figure, ...], Field(strict=False)]
    mean: float | None
    sd: float | None
    interval: Annotated[tuple[float, float], Field(strict=False)] | None
    verdict: Verdict
    why: Text

    @property
    def other(self) -> str:
        """The arm that `of` is compared with."""
        return str(self.minus if self.minus is not None else self.over)


class ArmMean(StoredDocument):
    """The mean of a measure over an arm's seeds, the standard deviation and the 95 % interval of the mean."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends; None with fewer than two seeds."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class ArmResult(StoredDocument):
    """A network of a study, at the learning rate that it is judged at (None while runs of it are missing)."""

    name: Text
    depth: Whole
    params: Whole
    macs: Whole
    block_params: Whole
    block_macs: Whole
    lr: Number | None
    measures: Mapping[Text, ArmMean]

    def exact(self, measure: str) -> int:
        """A measure that is known without training."""
        return {"params": self.params, "macs": self.macs, "block_params": self.block_params, "block_macs": self.block_macs}[measure]


class StudyRun(StoredDocument):
    """One run. `chosen`: at the learning rate that its arm is judged at. A run that is `missing` has no measures."""

    name: Text
    arm: Text
    lr: Number
    seed: Whole
    chosen: bool
    missing: bool = False
    diverged: Text | None = None
    measures: Measures = Field({})
    curve: Points = ()
    weights_sha256: Text | None = None


class StudyCost(StoredDocument):
    """Finished runs, and the seconds that they trained."""

    runs: Whole
    seconds: Number


class Provenance(StoredDocument):
    """How a result came about: the command without the folders of the machine, runs side by side (None: as a cluster saw fit), the
    engine, the device, cores and versions.
    """

    command: Text
    jobs: Whole | None
    engine: Text
    device: Text
    cores: Whole | None
    versions: Mapping[Text, Text]


class StudyDocument(StoredDocument):
    """study.json."""

    format: Whole
    study: Text
    title: Text
    claim: Text
    source: Citation
    setting: Setting
    data: StudyData
    seeds: Whole
    learning_rates: Numbers
    steps: Whole | None
    tail: Whole
    judged: Whole
    level: Number | None
    batch: Whole
    verdict: Verdict
    why: Text
    comparisons: Annotated[tuple[Judgement, ...], Field(strict=False)]
    measures: Texts
    arms: Annotated[tuple[ArmResult, ...], Field(strict=False)]
    runs: Annotated[tuple[StudyRun, ...], Field(strict=False)]
    cost: StudyCost
    notes: Texts
    rule_fixed_beforehand: bool
    one_run: Text
    made: Provenance
