"""What a key may write: nothing of the service itself; if bound, its component and labels alone."""

import itertools
from collections.abc import Callable

from msgspec.structs import replace

from api.ingest.intake import Fault, FaultError, Intake
from db import questions, security
from vigia.model import Principal, Series, labels_of

OWN = Fault(
    "scope",
    f"component {security.COMPONENT} and metrics {security.METRIC} and {questions.ROWS_METRIC} "
    "are the service's own: take other names",
)
OWN_METRICS = {security.METRIC, questions.ROWS_METRIC}


def restrict(intake: Intake, principal: Principal) -> None:
    """Reject what the principal may not write, and add its labels to the rest."""
    given = itertools.chain(
        (column.series for column in intake.columns),
        (histogram.series for histogram in intake.histograms),
    )
    is_bound = principal.component is not None or principal.labels
    if not is_bound and not any(map(_is_own, given)):
        return
    columns, histograms = intake.columns, intake.histograms
    intake.columns, intake.histograms = [], []
    own = _remembered(principal)
    for column in columns:
        try:
            intake.columns.append(replace(column, series=own(column.series)))
        except FaultError as error:
            intake.reject(error.fault, len(column.times))
    for histogram in histograms:
        try:
            intake.histograms.append(replace(histogram, series=own(histogram.series)))
        except FaultError as error:
            intake.reject(error.fault)


def _is_own(series: Series) -> bool:
    return series.component == security.COMPONENT or series.metric in OWN_METRICS


def _remembered(principal: Principal) -> Callable[[Series], Series]:
    known: dict[Series, Series] = {}

    def own(series: Series) -> Series:
        if series not in known:
            known[series] = _own(series, principal)
        return known[series]

    return own


def _own(series: Series, principal: Principal) -> Series:
    """Return a series with the labels of its key. Raises FaultError.

    What the audit counts is the service's alone: a key could hide with it what it has done.
    """
    if _is_own(series):
        raise FaultError(OWN)
    if principal.component not in {None, series.component}:
        raise FaultError(Fault("scope", f"this key writes only component {principal.component}"))
    labels = dict(series.labels)
    for name, value in principal.labels:
        if labels.setdefault(name, value) != value:
            raise FaultError(Fault("scope", f"this key writes only series with {name}={value}"))
    return replace(series, labels=labels_of(labels))
