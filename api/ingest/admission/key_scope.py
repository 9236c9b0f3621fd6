"""Restricts the series that a key may write: never Vigia's own, and only those it is bound to."""

import itertools
from collections.abc import Callable, Collection

from msgspec.structs import replace

from api.ingest.admission.parsed_write import Fault, FaultError, ParsedWrite
from audit import log as audit_log
from model.principal import Principal, Role
from model.series import (
    COMPONENT_UP,
    HOST_SILENT_SECONDS,
    SECURITY_EVENTS,
    SELF_METRICS,
    SQL_RULE_ROWS,
    Series,
    labels_of,
)

OWN = Fault(
    "scope",
    f"component {audit_log.COMPONENT} and metrics {SECURITY_EVENTS}, {SQL_RULE_ROWS} and "
    f"{HOST_SILENT_SECONDS} are reserved for Vigia; use other names",
)
MEASURED = Fault(
    "scope",
    f"Vigia itself measures {COMPONENT_UP} of this component; use another component, "
    "or add the label host",
)


def restrict(parsed: ParsedWrite, principal: Principal, measured: Collection[str] = ()) -> None:
    """Reject samples that the principal may not write, and add its labels to the others.

    `measured` are the components that Vigia measures itself. A key of role ingest may write
    `component_up` of these only if it is bound to the component.
    """
    given = itertools.chain(
        (column.series for column in parsed.columns),
        (histogram.series for histogram in parsed.histograms),
    )
    is_bound = principal.component is not None or principal.labels
    if principal.role is not Role.INGEST or principal.component is not None:
        measured = ()
    if not is_bound and not any(_is_own(one) or _is_measured(one, measured) for one in given):
        return
    columns, histograms = parsed.columns, parsed.histograms
    parsed.columns, parsed.histograms = [], []
    own = _remembered(principal, measured)
    for column in columns:
        try:
            parsed.columns.append(replace(column, series=own(column.series)))
        except FaultError as error:
            parsed.reject(error.fault, len(column.times))
    for histogram in histograms:
        try:
            parsed.histograms.append(replace(histogram, series=own(histogram.series)))
        except FaultError as error:
            parsed.reject(error.fault)


def _is_own(series: Series) -> bool:
    return series.component == audit_log.COMPONENT or series.metric in SELF_METRICS


def _is_measured(series: Series, measured: Collection[str]) -> bool:
    # Agents on other hosts report `component_up` under the same component, with a label host.
    return (
        series.metric == COMPONENT_UP
        and series.component in measured
        and not any(name == "host" for name, _ in series.labels)
    )


def _remembered(principal: Principal, measured: Collection[str]) -> Callable[[Series], Series]:
    known: dict[Series, Series] = {}

    def own(series: Series) -> Series:
        if series not in known:
            known[series] = _own(series, principal, measured)
        return known[series]

    return own


def _own(series: Series, principal: Principal, measured: Collection[str]) -> Series:
    """Return a series with the labels of its key. Raises FaultError if it may not write it.

    Nobody may write the metrics of the audit, or a key could hide its own actions.
    """
    if _is_own(series):
        raise FaultError(OWN)
    if principal.component not in {None, series.component}:
        raise FaultError(Fault("scope", f"this key writes only component {principal.component}"))
    labels = dict(series.labels)
    for name, value in principal.labels:
        if labels.setdefault(name, value) != value:
            raise FaultError(Fault("scope", f"this key writes only series with {name}={value}"))
    labelled = replace(series, labels=labels_of(labels))
    if _is_measured(labelled, measured):
        raise FaultError(MEASURED)
    return labelled
