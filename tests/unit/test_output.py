from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from v1sim import output
from v1sim.errors import OutputError
from v1sim.output import new_folder, refuse_to_replace, replacing, write_csv


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_block_leaves_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "a.txt"
    with (
        pytest.raises(OutputError, match=r"absent.*No such file.*\n.*expected"),
        replacing(path) as temporary,
    ):
        temporary.write_text("x")


def test_temporary_names_differ_within_and_between_processes(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        with replacing(tmp_path / "a.txt") as temporary:
            names.append(temporary.name)
            temporary.write_text("x")
    assert len(set(names)) == 2
    assert all(output._TEMPORARY.match(name) for name in names)


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with replacing(link) as temporary:
        assert temporary.parent == real.parent
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_errors_name_the_path_of_the_user_alone(tmp_path: Path, number: int) -> None:
    with pytest.raises(OutputError) as caught, replacing(tmp_path / "a.h5") as temporary:
        raise OSError(number, os.strerror(number), str(temporary))
    assert ".part" not in str(caught.value)
    assert f"a.h5: cannot be written: {os.strerror(number)}" in str(caught.value)
    with pytest.raises(OutputError) as caught, replacing(tmp_path / "b.h5") as temporary:
        raise OSError(f"unable to open file (name = '{temporary}', or {temporary.name})")
    assert ".part" not in str(caught.value)
    with (
        pytest.raises(OutputError) as caught,
        new_folder(tmp_path / "run") as folder,
        replacing(folder.temporary / "spikes.nwb"),
    ):
        raise OSError(number, os.strerror(number))
    assert ".part" not in str(caught.value)
    assert str(tmp_path / "run" / "spikes.nwb") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_replaced_on_demand_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    refuse_to_replace(path, force=False)
    path.write_text("")
    with pytest.raises(OutputError, match=r"there already[\s\S]*--force"):
        refuse_to_replace(path, force=False)
    refuse_to_replace(path, force=True)


# --- folders ---------------------------------------------------------------------------------


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with new_folder(tmp_path / "deep" / "run") as folder:
        (folder.temporary / "a").write_text("x")
        assert not folder.final.exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run"]
    assert (tmp_path / "deep" / "run" / "a").read_text() == "x"


def test_an_error_of_the_block_is_not_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "run"):
        (tmp_path / "absent").read_text()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["file", "full", "link to full"])
def test_a_name_that_is_taken_is_found_before_anything_is_done(tmp_path: Path, there: str) -> None:
    path = tmp_path / "run"
    if there == "file":
        path.write_text("")
    else:
        other = tmp_path / "other" if there == "link to full" else path
        other.mkdir()
        (other / "a").write_text("x")
        if other != path:
            path.symlink_to(other)
    with pytest.raises(OutputError, match="run: "), new_folder(path):
        pytest.fail("begun")
    with new_folder(path, or_next=True) as folder:
        pass
    assert folder.final.name == "run_2"


def test_two_at_once_never_share_a_name(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with new_folder(path) as first:
        (first.temporary / "a").write_text("first")
        with pytest.raises(OutputError, match="another run is writing"), new_folder(path):
            pytest.fail("begun")
        with new_folder(path, or_next=True) as second:
            (second.temporary / "a").write_text("second")
    assert (path / "a").read_text() == "first"
    assert (tmp_path / "run_2" / "a").read_text() == "second"
    assert {p.name for p in tmp_path.iterdir()} == {"run", "run_2"}


def test_a_name_that_is_lost_meanwhile_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with new_folder(path) as folder:
        (folder.temporary / "a").write_text("x")
        path.mkdir()
        (path / "other").write_text("somebody else's")
    assert folder.final == tmp_path / "run_2"
    assert (folder.final / "a").read_text() == "x"
    assert (path / "other").exists()


def test_a_folder_that_cannot_get_its_name_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with (
        pytest.raises(OutputError, match=r"everything is in .*\.run\.") as caught,
        new_folder(tmp_path / "run") as folder,
    ):
        (folder.temporary / "a").write_text("x")
        monkeypatch.setattr(Path, "rename", fails)
    assert str(folder.temporary) in str(caught.value)
    assert (folder.temporary / "a").read_text() == "x"


def test_a_run_is_replaced_by_a_whole_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "report.json").write_text("old")
    with pytest.raises(ValueError), new_folder(path, force=True):
        raise ValueError
    assert (path / "report.json").read_text() == "old"
    with new_folder(path, force=True) as folder:
        (folder.temporary / "report.json").write_text("new")
    assert (path / "report.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    (path / "report.json").unlink()
    (path / "diary.txt").write_text("")
    with pytest.raises(OutputError, match="has no report"), new_folder(path, force=True):
        pytest.fail("begun")


KILLED = """
import os, sys
from pathlib import Path
from v1sim.output import new_folder, replacing
root = Path(sys.argv[1])
with new_folder(root / "run") as folder, replacing(root / "net.h5") as temporary:
    (folder.temporary / "a").write_text("x")
    temporary.write_text("half")
    if sys.argv[2] == "die":
        os.kill(os.getpid(), 9)
    print("ready", flush=True)
    input()
"""


def test_leftovers_of_the_dead_are_removed_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "die"], check=False)
    assert len(list(tmp_path.iterdir())) == 3  # the folder, the file, the claim
    elsewhere = tmp_path / ".run.00000000-1-1-12345678.part"  # of another machine
    stranger = tmp_path / ".something.part"
    for path in (elsewhere, stranger):
        path.mkdir()
    output._looked_through.clear()
    with replacing(tmp_path / "b.txt") as temporary:
        temporary.write_text("x")
    assert {p.name for p in tmp_path.iterdir()} == {"b.txt", elsewhere.name, stranger.name}


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == "ready\n"
        before = {p.name for p in tmp_path.iterdir()}
        assert len(before) == 3
        output._looked_through.clear()
        with replacing(tmp_path / "b.txt") as temporary:
            temporary.write_text("x")
        assert {p.name for p in tmp_path.iterdir()} == {*before, "b.txt"}
        living.communicate("\n")
    assert living.returncode == 0
    assert {p.name for p in tmp_path.iterdir()} == {"run", "net.h5", "b.txt"}


def test_tables_hold_no_control_characters(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [["name", "n"], ["e4\x1b[2J\nx", 1], ["\u202eabc", 2.5]])
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert text == "name,n\ne4\\x1b[2J x,1\n\\u202eabc,2.5\n"


def test_a_disk_that_is_full_while_filling_a_folder_names_it(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OutputError, match="No space left") as caught, new_folder(out):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.where == str(out)
    with pytest.raises(FileNotFoundError), new_folder(out):
        raise FileNotFoundError(errno.ENOENT, "no", "input.h5")
    assert list(tmp_path.iterdir()) == []
