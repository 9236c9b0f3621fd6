"""Answers to people who reply to messages, in each language of messages."""

from collections.abc import Mapping

from msgspec import Struct

from notifications.message import Language


class ReplyWords(Struct, frozen=True, kw_only=True):
    """Short sentences. `{number}` stands for the number of an alert."""

    chat_help: str
    old_button: str
    acknowledged: str
    not_acknowledged: str
    sms_alert: str
    sms_group: str
    sms_help: str


WORDS: Mapping[Language, ReplyWords] = {
    Language.ENGLISH: ReplyWords(
        chat_help="Write /ack 41 to acknowledge alert 41, or /resolve 41 to resolve it.",
        old_button="This button no longer works.",
        acknowledged="Acknowledged.",
        not_acknowledged="Not acknowledged: open the alert and try again.",
        sms_alert="Reply {number}a to acknowledge, {number}r to resolve.",
        sms_group="Reply {number}aa to acknowledge all.",
        sms_help=(
            "Vigia: reply 41a to acknowledge alert 41, 41r to resolve it, 41aa to acknowledge all "
            "alerts, STOP to get no more messages."
        ),
    ),
    Language.BRAZILIAN_PORTUGUESE: ReplyWords(
        chat_help="Escreva /ack 41 para reconhecer o alerta 41, ou /resolve 41 para resolver.",
        old_button="Este botão não faz mais nada.",
        acknowledged="Reconhecido.",
        not_acknowledged="Não reconhecido: abra o alerta e tente de novo.",
        sms_alert="Responda {number}a para reconhecer, {number}r para resolver.",
        sms_group="Responda {number}aa para reconhecer todos.",
        sms_help=(
            "Vigia: responda 41a para reconhecer o alerta 41, 41r para resolver, 41aa para "
            "reconhecer todos os alertas, STOP para parar de receber mensagens."
        ),
    ),
}
