"""`python -m routing.cluster`: its flags, and what it says when it cannot start."""

import subprocess
import sys
from pathlib import Path

import pytest

from routing.cluster.__main__ import faults_of
from routing.cluster.cluster import Cluster, Settings
from routing.cluster.rpc.errors import RpcError
from routing.cluster.rpc.faults import Fault, Kind
from routing.cluster.serving import listen


def ended(*flags: str) -> str:
    """Run the command, which ends by itself, and return what it says."""
    command = [sys.executable, "-m", "routing.cluster", *flags]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    return ran.stderr


def test_faults_are_given_as_flags_for_each_node() -> None:
    flags = ["drop:times=1@b", "slow:seconds=0.5,share=0.1", "behind:slots=20@b", "mute"]

    faults = faults_of(flags)

    assert faults["b"] == [Fault(Kind.DROP, times=1), Fault(Kind.BEHIND, slots=20)]
    assert faults[""] == [Fault(Kind.SLOW, seconds=0.5, share=0.1), Fault(Kind.MUTE)]


@pytest.mark.parametrize("flag", ["nonsense", "drop:times", "drop:times=x", "drop:when=1", ""])
def test_a_flag_that_makes_no_sense_is_refused(flag: str) -> None:
    with pytest.raises(RpcError):
        faults_of([flag])


def test_the_command_says_which_flag_makes_no_sense() -> None:
    assert "no fault 'nonsense'" in ended("--fault", "nonsense")


def test_the_command_says_that_the_port_is_taken() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert f"Port {port}: Address already in use" in ended("--port", port)


def test_the_command_says_that_another_process_has_the_chain(tmp_path: Path) -> None:
    cluster = Cluster(Settings(folder=tmp_path))
    try:
        said = ended("--data", str(tmp_path), "--port", "0")
    finally:
        cluster.close()
    assert f"Another process has the chain in {tmp_path}" in said
    assert not (tmp_path / "wallet.json").exists()


def test_the_command_says_that_the_programs_are_not_there(tmp_path: Path) -> None:
    assert "has neither" in ended("--programs", str(tmp_path), "--port", "0")
