"""How many devices and processes a run takes: from flags, environment, and clusters made up."""

import os
import re
import subprocess
import sys

import jax
import pytest
import tiny

from stiid.data.workers import available_cores
from stiid.training import devices, processes
from stiid.training.devices import host_device_count
from stiid.training.processes import Processes, find_processes

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[01-02]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}
OPEN_MPI = {
    "OMPI_MCA_orte_hnp_uri": "4096.0;tcp://10.0.0.1:5000",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}
JAX = {
    "JAX_COORDINATOR_ADDRESS": "host:1",
    "JAX_NUM_PROCESSES": "3",
    "JAX_PROCESS_ID": "2",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Set variables where there is nothing of a cluster."""
    for name in os.environ:
        if name.startswith(("SLURM_", "OMPI_", "KUBERNETES_", "JAX_COORD", "JAX_NUM_", "JAX_PROC")):
            monkeypatch.delenv(name)

    def set_all(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.mark.parametrize(
    ("cores", "batches", "processes", "expected"),
    [
        *[(c, (8, 32), 1, d) for c, d in {1: 1, 3: 2, 5: 4, 6: 4, 7: 4, 12: 8, 64: 8}.items()],
        (6, (12, 36), 1, 6),
        (8, (8, 32), 2, 4),
        (8, (9, 32), 1, 1),
        (8, (9, 32), 2, 1),  # no number fits: check_batch_size says so
        (7, (), 1, 4),
        (16, (), 1, 16),
    ],
)
def test_devices_divide_every_batch(cores, batches, processes, expected):
    assert host_device_count(cores, batches, num_processes=processes) == expected


def test_macos_knows_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert available_cores() == 5


def test_the_number_of_devices_can_be_given(monkeypatch, environment):
    updates = {}
    monkeypatch.setattr(jax.config, "update", updates.__setitem__)
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES", raising=False)
    devices.configure_host_devices(3, batch_sizes=[8], processes=Processes(1))
    assert updates == {"jax_num_cpu_devices": 3}
    with pytest.raises(ValueError, match=r"--host_devices must not be negative, got -1"):
        devices.configure_host_devices(-1, batch_sizes=[8], processes=Processes(1))


def test_a_checkpoint_says_how_many_devices_it_needs(trained, tmp_path):
    """Six cores and a batch of 8: without the config file, its copy in the checkpoint counts."""
    program = "import os; os.sched_getaffinity = lambda _: set(range(6)); from stiid import main; "
    result = subprocess.run(
        [
            *(sys.executable, "-c", f"{program}main.cli()", "--mode=eval"),
            *(f"--workdir={tmp_path}", f"--checkpoint={trained}"),
        ],
        cwd=tiny.ROOT,
        env=tiny.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "CpuDevice(id=3)]" in result.stderr
    assert tiny.scores(tmp_path)["clips"] == 10


@pytest.mark.parametrize(
    ("variables", "arguments", "expected"),
    [
        ({}, (None, None, None), Processes(1)),
        ({}, (None, 1, None), Processes(1)),
        ({}, ("host:1", 2, 1), Processes(2, 1, "host:1")),
        (JAX, (None, None, None), Processes(3, 2, "host:1")),
        (JAX, ("other:9", 4, 0), Processes(4, 0, "other:9")),
        (SLURM, (None, None, None), Processes(4)),
        (SLURM, (None, 1, None), Processes(1)),
        (SLURM | {"SLURM_NTASKS": "1"}, (None, None, None), Processes(1)),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, (None, None, None), Processes(1)),
        (SLURM | {"JAX_COORDINATOR_ADDRESS": "host:1"}, (None,) * 3, Processes(4, None, "host:1")),
        (OPEN_MPI, (None, None, None), Processes(2)),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, (None, None, None), Processes(1)),
    ],
)
def test_processes_are_found(environment, variables, arguments, expected):
    environment(variables)
    assert find_processes(*arguments) == expected


@pytest.mark.parametrize(
    ("variables", "arguments", "message"),
    [
        ({}, (None, 2, None), r"missing --coordinator and --process_id$"),
        ({}, ("host:1", None, None), r"missing --num_processes and --process_id$"),
        ({}, (None, None, 0), r"missing --coordinator and --num_processes$"),
        ({"JAX_COORDINATOR_ADDRESS": "host:1"}, (None,) * 3, r"missing --num_processes and"),
        ({}, ("host:1", 2, 2), r"--process_id must lie in 0\.\.num_processes − 1, got 2 of 2"),
        ({}, ("host", 2, 1), r"--coordinator must be HOST:PORT, got 'host'"),
        (JAX | {"JAX_NUM_PROCESSES": "many"}, (None,) * 3, r"JAX_NUM_PROCESSES must be a number"),
    ],
)
def test_incomplete_descriptions_are_refused(environment, variables, arguments, message):
    environment(variables)
    with pytest.raises(ValueError, match=message):
        find_processes(*arguments)


def test_who_waits_says_for_whom_and_gives_up(free_address, monkeypatch, told):
    monkeypatch.setattr(processes, "_PARTNERS", [])
    monkeypatch.setattr(processes, "_PATIENCE", 0.05)
    with pytest.raises(
        ValueError, match=rf"^process 0 did not connect to {free_address} within 0 s"
    ):
        processes.initialize_processes(Processes(3, 1, free_address), timeout=0.2)
    with pytest.raises(ValueError, match=rf"^2 of 3 processes did not connect to {free_address} "):
        processes.initialize_processes(Processes(3, 0, free_address), timeout=0.2)
    assert f"waiting for 2 of 3 processes at {free_address}, for 0 s at most" in told.text


def test_errors_of_collectives_mean_that_a_partner_ended(monkeypatch):
    lost = ValueError("UNKNOWN: Gloo AllGather failed: Connection closed")
    monkeypatch.setattr(processes, "_PARTNERS", [])
    assert not processes.partner_ended(lost)
    monkeypatch.setattr(processes, "_PARTNERS", [None])
    assert processes.joined()
    assert processes.partner_ended(lost)
    assert not processes.partner_ended(ValueError("RESOURCE_EXHAUSTED: Out of memory"))


def test_a_platform_that_is_not_there_is_one_line(monkeypatch):
    def fail():
        raise AssertionError

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(
        ValueError, match=r"^JAX does not start: no such .* JAX_PLATFORMS=cuda asks"
    ):
        devices.start_backend()


class Present:
    """Partners that have all come already."""

    coordinator = "127.0.0.1:1"

    def __init__(self, *described):
        self.described = described

    def start(self):
        pass

    def wait(self, timeout):
        return True


def test_jax_finds_what_the_cluster_knows(environment, monkeypatch):
    joined, met = [], []
    monkeypatch.setattr(processes, "_PARTNERS", met)
    monkeypatch.setattr(processes, "Partners", Present)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **_: joined.append(args))
    environment(SLURM)
    processes.initialize_processes(find_processes(None, None, None))
    processes.initialize_processes(Processes(1))
    assert joined == [("127.0.0.1:1", 4, 2)]
    (partners,) = met
    number, count, address = partners.described
    assert (number, count) == (2, 4)
    assert re.fullmatch(r"node01:\d+", address)
