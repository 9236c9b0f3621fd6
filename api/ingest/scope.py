"""What a key may write: one bound to a component or to labels writes nothing else."""

from collections.abc import Callable

from msgspec.structs import replace

from api.ingest.intake import Fault, FaultError, Intake
from vigia.model import Principal, Series, labels_of


def restrict(intake: Intake, principal: Principal) -> None:
    """Reject what the principal may not write, and add its labels to the rest."""
    if principal.component is None and not principal.labels:
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


def _remembered(principal: Principal) -> Callable[[Series], Series]:
    known: dict[Series, Series] = {}

    def own(series: Series) -> Series:
        if series not in known:
            known[series] = _own(series, principal)
        return known[series]

    return own


def _own(series: Series, principal: Principal) -> Series:
    """Return a series with the labels of its key. Raises FaultError."""
    if principal.component not in {None, series.component}:
        raise FaultError(Fault("scope", f"this key writes only component {principal.component}"))
    labels = dict(series.labels)
    for name, value in principal.labels:
        if labels.setdefault(name, value) != value:
            raise FaultError(Fault("scope", f"this key writes only series with {name}={value}"))
    return replace(series, labels=labels_of(labels))
