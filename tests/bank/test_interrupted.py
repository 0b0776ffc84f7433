"""Loads that the machine or the operator ends: pipes in place of files, a full disk, SIGTERM and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "cohelix.cli.main"]
HEADER = "##fileformat=VCFv4.2\n##contig=<ID=22>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"


def cohelix(*words):
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


def write_calls(path, n_samples, n_records):
    samples = "\t".join(f"S{number}" for number in range(n_samples))
    calls = "\t".join(["0/1"] * n_samples)
    records = (f"22\t{20_000_000 + at}\t.\tA\tG\t.\t.\t.\tGT\t{calls}\n" for at in range(n_records))
    path.write_text(f"{HEADER}{samples}\n{''.join(records)}")
    return path


@pytest.fixture
def node(tmp_path):
    folder = tmp_path / "node"
    assert cohelix("node", "init", folder, "--id", "FI", "--name", "Finland", "--country", "FI").returncode == 0
    return folder


@pytest.fixture
def few(tmp_path):
    return write_calls(tmp_path / "few.vcf", 3, 2)


@pytest.mark.parametrize("option", ["--genotypes", "--individuals", "--mapping", "--reference"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(node, few, tmp_path, option):
    pipe, people = tmp_path / "pipe", tmp_path / "people.tsv"
    os.mkfifo(pipe)
    people.write_text("individual_id\tsex\nS0\tmale\n")
    words = {"--genotypes": few, "--individuals": people} | {option: pipe}
    done = cohelix("node", "load", node, "--dataset", "d", "--assembly", "GRCh37", *(w for pair in words.items() for w in pair))
    assert done.returncode == 2
    assert f"{pipe}: it is " in done.stderr


@pytest.mark.parametrize("reference", ["absent.fa", "."])
def test_a_reference_that_is_no_file_is_refused(node, few, tmp_path, reference):
    place = tmp_path / reference
    done = cohelix("node", "load", node, "--dataset", "d", "--assembly", "GRCh37", "--genotypes", few, "--reference", place)
    assert done.returncode == 2
    assert "The file was refused" in done.stderr
    assert "expected an uncompressed FASTA file" in done.stderr


def test_a_full_disk_is_told_in_a_line(node, few):
    load = ["node", "load", node, "--dataset", "d", "--assembly", "GRCh37", "--genotypes", few]
    reported = cohelix(*load, "--report", "/dev/full")
    assert reported.returncode == 2
    assert "/dev/full cannot be written" in reported.stderr
    assert "version 1 of d is published" in reported.stderr
    counted = cohelix("node", "counts", node, "--dataset", "d", "--out", "/dev/full")
    assert counted.returncode == 2
    assert "No space left on device" in counted.stderr
    assert "Traceback" not in reported.stderr + counted.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_load_leaves_nothing(node, tmp_path, number):
    many = write_calls(tmp_path / "many.vcf", 300, 20_000)
    words = ["node", "load", node, "--dataset", "d", "--assembly", "GRCh37", "--genotypes", many]
    with subprocess.Popen([*COMMAND, *map(str, words)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "genotypes" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 128 + number
    assert "The load was stopped" in rest
    assert "Traceback" not in rest
    assert not list((node / "datasets").iterdir())
