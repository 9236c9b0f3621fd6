"""`vigia spool` without a spool, and the owner of the folders that it creates."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from vigia.cli.main import main
from vigia.cli.terminal import EXIT_FAILURE, EXIT_USAGE

COMMANDS = [("list",), ("list", "--json"), ("requeue", "--all"), ("requeue", "1.record")]


@pytest.mark.parametrize("arguments", COMMANDS)
@pytest.mark.parametrize("is_there", [False, True])
def test_a_data_directory_without_a_spool_is_named(
    arguments: tuple[str, ...], tmp_path: Path, *, is_there: bool
) -> None:
    folder = tmp_path if is_there else tmp_path / "nowhere"

    answer = CliRunner().invoke(main, ["spool", *arguments], env={"VIGIA_DATA_DIR": str(folder)})

    assert (answer.exit_code, answer.output) == (
        EXIT_FAILURE,
        f"vigia: there is no spool in {folder}; run this with the VIGIA_DATA_DIR of the service\n",
    )


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_file_as_data_directory_is_named(arguments: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    answer = CliRunner().invoke(main, ["spool", *arguments], env={"VIGIA_DATA_DIR": str(file)})

    assert answer.exit_code == EXIT_USAGE
    assert answer.output.startswith(f"vigia: VIGIA_DATA_DIR: {file} is a file; ")


def test_an_empty_quarantine_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()

    answer = CliRunner().invoke(main, ["spool", "list"], env={"VIGIA_DATA_DIR": str(tmp_path)})

    assert (answer.exit_code, answer.output) == (0, "the quarantine is empty\n")


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_quarantine_that_cannot_be_read_is_no_empty_one(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "quarantine").touch()

    answer = CliRunner().invoke(main, ["spool", *arguments], env={"VIGIA_DATA_DIR": str(tmp_path)})

    assert (answer.exit_code, answer.output) == (
        EXIT_FAILURE,
        f"vigia: {tmp_path}/spool/quarantine: Not a directory\n",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders of others")
@pytest.mark.parametrize("is_there", [False, True])
def test_records_that_root_requeues_belong_to_the_owner_of_the_spool(
    tmp_path: Path, *, is_there: bool
) -> None:
    spool = tmp_path / "spool"
    (spool / "quarantine").mkdir(parents=True)
    (spool / "quarantine" / "refused-1").touch()
    if is_there:
        (spool / "requeued").mkdir()
    os.chown(spool, 65534, 65533)

    answer = CliRunner().invoke(
        main, ["spool", "requeue", "--all"], env={"VIGIA_DATA_DIR": str(tmp_path)}
    )

    assert answer.exit_code == 0
    folder = (spool / "requeued").stat()
    assert (folder.st_uid, folder.st_gid) == (65534, 65533)
