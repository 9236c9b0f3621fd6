"""Texts of buttons and links, in each language of messages."""

from collections.abc import Mapping

from msgspec import Struct

from notifications.message import Language


class Labels(Struct, frozen=True, kw_only=True):
    """Each text has one or two words, because phones cut longer ones."""

    acknowledge: str
    resolve: str
    open: str
    chart: str
    runbook: str


LABELS: Mapping[Language, Labels] = {
    Language.ENGLISH: Labels(
        acknowledge="Acknowledge",
        resolve="Resolve",
        open="Open",
        chart="Chart",
        runbook="Runbook",
    ),
    Language.BRAZILIAN_PORTUGUESE: Labels(
        acknowledge="Reconhecer",
        resolve="Resolver",
        open="Abrir",
        chart="Gráfico",
        runbook="Procedimento",
    ),
}
