"""Texts that a template engine, a provider or a header would take for more than text."""

HOSTILE = (
    "{{7*7}} ${7*7} #{7*7} <%= 7*7 %>",
    "{0.__class__} {title} %s %(title)s",
    "@everyone @here @channel <!channel> <!here> <@U1> <#C1>",
    "<b>bold</b> <a href='https://evil.example'>x</a> <script>alert(1)</script>",
    "*bold* _italic_ ~gone~ `code` [text](https://evil.example)",
    "one\r\nSubject: two\r\n\r\nthree",
    '","level":"info","x":"',
    "\\n \\u0000 &lt; &amp; &#39;",
    "```\n# head\n> quote\n- item\n1. one\n```\n||hidden|| __under__",
    "<at>everyone</at> ![x](https://evil.example/x.png) \\[x\\](y)",
    "one\r\n.\r\nQUIT\r\n",
    "\u202eleft to right\u202c \u200b no width",
)

UNSEEN = dict.fromkeys([0, 7, 0x1B, 0x200B, 0x202C, 0x202E, 0xFEFF, 0xFFFE])
"""For `str.translate`: characters that nobody sees, in these texts and others of the tests."""
