"""The compose file is valid, and each variable in it is a setting."""

import re
import subprocess
import sys
from pathlib import Path

from runtime.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(rf"\b{PREFIX}([A-Z_]+)\b")


def test_compose_file_is_valid_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_variable_of_the_containers_is_a_setting() -> None:
    names = set()
    for file in (COMPOSE, ROOT / "Dockerfile"):
        names |= {name.lower() for name in VARIABLE.findall(file.read_text())}

    assert names
    assert {name.removesuffix("_file") for name in names} <= set(Settings.__struct_fields__)


def test_the_database_image_has_no_known_vulnerability() -> None:
    [version] = re.findall(r"timescale/timescaledb:(\d+)\.(\d+)\.(\d+)-pg", COMPOSE.read_text())

    assert tuple(map(int, version)) >= (2, 29, 1)
