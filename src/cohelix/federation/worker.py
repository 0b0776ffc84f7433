"""Computes a node's blocks of a run: one function of a folder and a question, in threads, in processes, or on a Dask cluster.

A task is small and picklable: where the node's and the run's folders are, the number of the ask, which lies in the run's
folder, and the block's arrays. Whoever computes it opens the run's data memory-mapped, and keeps them for the next block.
Linear algebra takes one thread for each task, so that workers do not crowd the cores, and the same question has the same
answer to the bit.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import multiprocessing
import multiprocessing.connection
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import orjson
import structlog
import threadpoolctl

from cohelix.analysis.data import LocalData
from cohelix.analysis.local import local_data
from cohelix.analysis.steps import KEPT_STEPS, METHODS_MODULE, Ask, Sums, compute_part
from cohelix.core.errors import BadUsage, Damaged, ShapeMismatch, Unreachable
from cohelix.federation.asking import ask_digest, block_ask, unpack_ask
from cohelix.wire.packed import pack, unpack

WORKERS_VARIABLE = "COHELIX_ANALYSIS_WORKERS"
LOCAL, ASKS, OWN_FILE = "local", "asks", "own.json"  # in a run's folder
DERIVED = ".derived"  # an ask as the node has derived it
_OPENED_MAX = 4  # of runs' data that one process keeps open
_TRIES = 3  # of a task whose worker was killed
_Found = TypeVar("_Found")
_log = structlog.get_logger("cohelix.federation")


class StepTask(NamedTuple):
    """One block of one ask at one node.

    Attributes
    ----------
    node_folder, run_folder
        The node's, and the run's within it; the same paths wherever the task is computed.
    ask
        The number of the ask, which lies in the run's folder.
    block
        Its arrays, packed; empty for a step over people.
    kept
        Numbers of the earlier asks that changed the node's data for all later ones (`KEPT_STEPS`), in order.
    """

    node_folder: str
    run_folder: str
    ask: int
    block: bytes
    kept: tuple[int, ...] = ()


class ToldAsk(NamedTuple):
    """An ask as it was told, without rows, but with the broadcast that was derived; whether it is over variants; its digest."""

    ask: Ask
    over_variants: bool
    digest: str


def compute_task(task: StepTask) -> bytes:
    """The node's part of the block, packed.

    Raises
    ------
    ShapeMismatch
        If a figure is not as the ask declares it.
    NotFound
        If a frozen version of the data is gone.
    Damaged
        If the run's folder does not hold what it should.
    """
    _limit_threads()
    told = read_ask(Path(task.run_folder), task.ask)
    ask = block_ask(told.ask, unpack(task.block).arrays) if told.over_variants else told.ask
    kept = (*task.kept, task.ask) if ask.step in KEPT_STEPS else task.kept
    data = _opened(task.node_folder, task.run_folder, kept)
    rows = None if ask.rows is None else range(len(ask.rows))
    try:
        return pack({}, compute_part(data, ask, rows))
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
        # What was told with the ask is not what the step takes, which no method of ours would send. The error's own words
        # stay here: they may name a figure.
        _log.exception("step failed", step=ask.step)
        raise ShapeMismatch(f"{ask.step} cannot be computed from what was told with it ({type(error).__name__})") from None


def unpack_part(packed: bytes) -> Sums:
    """What `compute_task` packed."""
    return dict(unpack(packed).arrays)


def ask_file(run_folder: Path, ask: int) -> Path:
    """Where an ask lies in a run's folder."""
    return run_folder / ASKS / f"{ask:06d}"


def read_ask(run_folder: Path, ask: int) -> ToldAsk:
    """An ask as it was told; `Damaged` where it is not in the run's folder."""

    def make() -> ToldAsk:
        place = ask_file(run_folder, ask)
        packed = _content(place)
        told, over_variants = unpack_ask(packed)
        mine = place.with_name(place.name + DERIVED)
        if mine.exists():
            told = replace(told, broadcast=unpack_ask(mine.read_bytes())[0].broadcast)
        return ToldAsk(told, over_variants, ask_digest(packed))

    return _cached(_ASKS, (str(run_folder), ask), make)


def forget(run_folder: Path) -> None:
    """Let go of what this process holds of a run."""
    with _LOCK:
        for data_key in [key for key in _DATA if key[0] == str(run_folder)]:
            del _DATA[data_key]
        for ask_key in [key for key in _ASKS if key[0] == str(run_folder)]:
            del _ASKS[ask_key]


class Workers:
    """Where tasks are computed; nothing is started before the first one.

    Parameters
    ----------
    count
        How many at a time: 1 in a thread of this process, more in processes of their own.
    dask
        Address of a Dask scheduler whose workers see the node's folder at the same path; `count` does not matter then.
    """

    def __init__(self, count: int = 1, *, dask: str | None = None) -> None:
        self._count, self._dask = count, dask
        self._executor: Executor | None = None
        self._lock = threading.Lock()

    async def compute(self, task: StepTask) -> bytes:
        """`compute_task` somewhere; a task whose worker was killed is computed again."""
        loop = asyncio.get_running_loop()
        for last in range(_TRIES, 0, -1):
            executor = self._executor
            if executor is None:
                executor = await asyncio.to_thread(self._started)
            try:
                return await loop.run_in_executor(executor, compute_task, task)
            except BrokenExecutor:
                self._drop(executor)
                if last == 1:
                    raise Unreachable("the processes that compute are ended again and again: is there memory enough?") from None
        raise AssertionError("a task is tried at least once")

    def close(self) -> None:
        """End the workers that were started here."""
        if self._executor is not None:
            self._drop(self._executor)

    def _started(self) -> Executor:
        with self._lock:
            if self._executor is None:
                self._executor = self._start()
            return self._executor

    def _start(self) -> Executor:
        if self._dask is not None:
            return dask_executor(self._dask)
        if self._count == 1:
            return ThreadPoolExecutor(1, thread_name_prefix="analysis")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, METHODS_MODULE])
        return ProcessPoolExecutor(self._count, context, initializer=_begin_worker)

    def _drop(self, executor: Executor) -> None:
        with self._lock:
            if self._executor is executor:
                self._executor = None
        executor.shutdown(wait=False, cancel_futures=True)


def workers_wanted() -> int:
    """How many tasks a node computes at a time: `COHELIX_ANALYSIS_WORKERS`, or the number of cores that it may use."""
    text = os.environ.get(WORKERS_VARIABLE)
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise BadUsage(f"{WORKERS_VARIABLE} is a number of workers from 1 to 1024, not {text!r}")
    return int(text)


def check_dask(address: str) -> None:
    """Whether a Dask scheduler could be spoken to; nobody is asked yet.

    Raises
    ------
    BadUsage
        If Dask is not installed, or the address is not one.
    """
    if importlib.util.find_spec("distributed") is None:
        raise BadUsage("Dask is not installed here: pip install 'cohelix[dask]', or leave --dask away")
    if not re.fullmatch(r"(tcp|tls|ucx)://[^/\s]+:\d{1,5}", address):
        raise BadUsage(f"{address!r} is no address of a Dask scheduler: write tcp://HOST:PORT")


def dask_executor(address: str) -> Executor:
    """An executor on the cluster of a Dask scheduler.

    Raises
    ------
    BadUsage
        As of `check_dask`.
    Unreachable
        If no scheduler answers there.
    """
    check_dask(address)
    from distributed import Client

    try:
        client = Client(address, timeout="10s", set_as_default=False, name="cohelix-node")  # type: ignore[no-untyped-call]
    except OSError as error:
        raise Unreachable(f"no Dask scheduler answers at {address}: {error}") from None
    return _ClusterExecutor(client)


class _ClusterExecutor(Executor):
    """A Dask client as an executor that ends its connection, too; a task that repeats is computed again."""

    def __init__(self, client: object) -> None:
        self._client = client
        self._inner = client.get_executor(pure=False, retries=_TRIES - 1)  # type: ignore[attr-defined]

    def submit(self, function, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        return self._inner.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._inner.shutdown(wait=wait)
        self._client.close(timeout=2)  # type: ignore[attr-defined]


_LOCK = threading.Lock()
_DATA: OrderedDict[tuple[str, tuple[int, ...]], LocalData] = OrderedDict()
_ASKS: OrderedDict[tuple[str, int], ToldAsk] = OrderedDict()
_OPENING = threading.RLock()


def _opened(node_folder: str, run_folder: str, kept: tuple[int, ...]) -> LocalData:
    """The run's data as they are after these asks."""

    def make() -> LocalData:
        folder = Path(run_folder)
        own = orjson.loads(_content(folder / OWN_FILE))
        data = replace(local_data(Path(node_folder), folder / LOCAL), **own)
        for number in kept:
            compute_part(data, read_ask(folder, number).ask)
        return data

    with _OPENING:  # two tasks of one process do not open the same data
        return _cached(_DATA, (run_folder, kept), make)


_Key = TypeVar("_Key")


def _cached(cache: OrderedDict[_Key, _Found], key: _Key, make: Callable[[], _Found]) -> _Found:
    with _LOCK:
        if key in cache:
            cache.move_to_end(key)
            return cache[key]
    found = make()
    with _LOCK:
        cache[key] = found
        while len(cache) > _OPENED_MAX:
            cache.popitem(last=False)
    return found


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{path.name} is not in the run's folder", path=str(path)) from None


@functools.cache
def _limit_threads() -> None:
    """One thread for linear algebra in this process, from now on."""
    threadpoolctl.threadpool_limits(1)


def _begin_worker() -> None:
    """A worker process ends with the server that started it, however that ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
