"""`cohelix demo`: four nodes and a hub on this machine, real genomes, real questions, one address to open."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer

from cohelix.core.clock import SystemClock
from cohelix.core.errors import CohelixError, Conflict, Unreachable

if TYPE_CHECKING:
    from rich.console import Console

    from cohelix.cli.demo_journeys import DemoFederation
    from cohelix.testing.example_data import ExampleData
    from cohelix.testing.members import Person, Share, Shares
    from cohelix.testing.processes import Processes, Server

Result = TypeVar("Result")

USUAL_PORT: Final = 8000
AT_A_TIME: Final = 2
INTERRUPTED: Final = 130
OPEN_NOTE: Final = "The donors of 1000 Genomes and GEUVADIS agreed to open release: exact counts may be shown to everyone."
TITLES: Final = {
    "geuvadis": "GEUVADIS: 1000 Genomes phase 3, chromosome 22, and gene expression",
    "example": "Example genotypes",
    "simulated": "Simulated cohort",
}
SIMULATED_NOTE: Final = "Simulated: no such person exists."


def register(app: typer.Typer) -> None:
    """Make `demo` a command."""
    app.command()(demo)


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the journeys instead of staying up.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what happened to this JSON file.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with qtltools-example*.deb, examples.tar.xz, its files, or any VCF files; no download then.",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=65535, help="Port of the hub; 8000 or a free one if not given.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the folders of hub and nodes in this new or empty folder.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON; everything else to standard error.")
    ] = False,
) -> None:
    """Show a federation of four nodes and a hub on this machine, with real genomes where they can be had."""
    from rich.console import Console

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    show = _Show(Console(stderr=as_json, highlight=False))
    demonstration = _Demonstration(show, data=data, port=port)
    try:
        with _folder(keep) as folder:
            demonstration.run(folder, stay=not once, keep=keep, tell=lambda: _tell(demonstration.report, report, as_json))
    except KeyboardInterrupt:
        show.line("interrupted; every process that the demo started has been stopped")
        raise typer.Exit(0 if demonstration.report["ok"] else INTERRUPTED) from None
    except CohelixError as error:
        demonstration.report["error"] = error.detail
        _tell(demonstration.report, report, as_json)
        raise
    if not demonstration.report["ok"]:
        raise typer.Exit(1)


class _Show:
    """Progress and results, for people."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._clock = SystemClock()
        self.seconds: dict[str, float] = {}

    def line(self, text: str) -> None:
        self.console.print(f"  {text}", markup=False)

    @contextmanager
    def step(self, name: str, text: str) -> Iterator[None]:
        """Announce a step, and add its duration to the report under `name`."""
        self.console.print(f"[bold]{text}[/bold]")
        start = self._clock.monotonic()
        yield
        self.seconds[name] = round(self._clock.monotonic() - start, 3)
        self.line(f"done in {self.seconds[name]:.1f} s")


class _Demonstration:
    """One run of the demo: builds the federation, asks the journeys' questions, and keeps the report."""

    def __init__(self, show: _Show, *, data: Path | None, port: int | None) -> None:
        self._show, self._data, self._port = show, data, port
        self._clock = SystemClock()
        self._start = self._clock.monotonic()
        self._passwords: dict[str, str] = {}
        self.report: dict[str, Any] = {
            "ok": False,
            "seconds": show.seconds,
            "data": {},
            "members": [],
            "frequency": None,
            "journeys": [],
        }

    def run(self, folder: Path, *, stay: bool, keep: Path | None, tell: Callable[[], None]) -> None:
        """Run all of it in `folder`; with `stay` until interrupted. `tell` is called once the report is complete."""
        from cohelix.testing.processes import Processes, port_or_refuse

        port = port_or_refuse(self._port, USUAL_PORT)
        with ExitStack() as cleanup:
            processes = cleanup.enter_context(Processes(folder / "logs"))
            cleanup.callback(_ignore_interrupts)  # called before the processes are stopped: nothing interrupts that
            kernels = Thread(target=_fill_compiler_cache, daemon=True)
            kernels.start()
            with self._show.step("data", "Genomes"):
                shares = self._prepare(folder / "shares")
                if kernels.is_alive():
                    self._show.line("compiling the numeric kernels, once after an update")
                kernels.join()
            federation = self._start_federation(processes, folder, shares, port)
            self._ask(federation)
            self._passwords = federation.passwords
            self._show.seconds["total"] = round(self._clock.monotonic() - self._start, 3)
            tell()
            self._close(federation.hub.url, keep, folder)
            while stay:
                signal.pause()

    def _prepare(self, folder: Path) -> Shares:
        from cohelix.testing.example_data import find_example, user_cache
        from cohelix.testing.members import people_of_1000_genomes, simulated_example, split

        people: dict[str, Person] = people_of_1000_genomes()
        try:
            found: ExampleData = find_example(self._data, user_cache(), self._show.line)
        except Unreachable as error:
            self._show.line(f"NO REAL GENOMES COULD BE HAD: {error.detail}")
            self._show.line("simulating a cohort instead; every page and the report say so")
            found, people = simulated_example(folder / "simulated")
        shares = split(found, people, folder, self._show.line)
        simulated = found.kind == "simulated"
        kind = "simulated people" if simulated else "people"
        self._show.line(f"{shares.n_people} {kind}, {shares.n_variants:,} variants ({shares.assembly}), from: {found.source}")
        if shares.unplaced:
            self._show.line(f"{shares.unplaced} people of other populations are left out")
        self.report["data"] = {
            "source": found.source,
            "simulated": simulated,
            "people": shares.n_people,
            "variants": shares.n_variants,
            "assembly": str(shares.assembly),
        }
        return shares

    def _start_federation(self, processes: Processes, folder: Path, shares: Shares, port: int) -> DemoFederation:
        from cohelix.cli.demo_access import embed_broker, trust_broker
        from cohelix.cli.demo_journeys import DemoFederation

        hub_folder = folder / "hub"
        folders = {share.member.id: folder / "nodes" / share.member.id for share in shares.shares}
        with self._show.step("hub", "Starting the hub"):
            processes.run("hub-init", "hub", "init", str(hub_folder), "--url", f"http://127.0.0.1:{port}")
            embed_broker(hub_folder)
            hub = processes.serve("hub", "hub", "serve", str(hub_folder), "--port", str(port))
            self._show.line(f"hub    {hub.url}")
        with self._show.step("members", f"{len(folders)} members: each loads its own people, serves and joins"):

            def enter(share: Share) -> Server:
                target = folders[share.member.id]
                self._load(processes, target, share, shares)
                trust_broker(target, hub.url)
                return self._join(processes, target, share, hub_folder)

            servers = dict(zip(folders, _side_by_side(processes, enter, shares.shares), strict=True))
        return DemoFederation(processes, hub, servers, folders, shares, dataset=shares.kind, hub_folder=hub_folder)

    def _load(self, processes: Processes, target: Path, share: Share, shares: Shares) -> None:
        member, start = share.member, self._clock.monotonic()
        identity = ("--id", member.id, "--name", member.name, "--country", member.country)
        processes.run(f"init-{member.id}", "node", "init", str(target), *identity)
        simulated = shares.kind == "simulated"
        options = ["--assembly", str(shares.assembly), "--individuals", str(share.people)]
        options += ["--title", f"{TITLES[shares.kind]}, {member.name}"]
        note = SIMULATED_NOTE if simulated else OPEN_NOTE
        options += ["--disclosure", "open", "--open-release-note", note] if shares.open_release else ["--disclosure", "floored"]
        options += ["--simulated"] if simulated else []
        for path in share.genotypes:
            options += ["--genotypes", str(path)]
        processes.run(f"load-{member.id}", "node", "load", str(target), "--dataset", shares.kind, *options)
        seconds = self._clock.monotonic() - start
        self._show.line(f"{member.id:<5}  {member.name}: {share.n_people} people loaded in {seconds:.1f} s")

    def _join(self, processes: Processes, target: Path, share: Share, hub_folder: Path) -> Server:
        from cohelix.cli.demo_journeys import serve_node

        node, start = share.member.id, self._clock.monotonic()
        server = serve_node(processes, node, target)
        token = processes.run(f"invite-{node}", "hub", "invite", str(hub_folder), "--member", node).strip()
        processes.run(f"join-{node}", "node", "join", str(target), token, "--url", server.url)
        self._show.line(f"{node:<5}  {server.url} serves and has joined, {self._clock.monotonic() - start:.1f} s")
        return server

    def _ask(self, federation: DemoFederation) -> None:
        from cohelix.cli.demo_access import ACCESS_JOURNEYS
        from cohelix.cli.demo_analysis import ANALYSIS_JOURNEYS
        from cohelix.cli.demo_governance import GOVERNANCE_JOURNEYS
        from cohelix.cli.demo_journeys import JOURNEYS
        from cohelix.cli.demo_patients import PATIENT_JOURNEYS, load_patients

        with self._show.step("journeys", "Asking the federation"):
            self._go(federation, JOURNEYS)
        with self._show.step("analysis", "A federated analysis, summed so that nobody sees a member's figures"):
            self._go(federation, ANALYSIS_JOURNEYS)
        with self._show.step("access", "People log in; guarded copies, a visa, its revocation, a withdrawal"):
            self._go(federation, ACCESS_JOURNEYS)
        with self._show.step(
            "governance", "An application to four banks: committees, countries, visas, an analysis, the audit"
        ):
            self._go(federation, GOVERNANCE_JOURNEYS)
        with self._show.step("patients", "Simulated patients at two members, simulated leukaemias at the two others"):
            self._go(federation, (("patients-load", load_patients), *PATIENT_JOURNEYS))
        self.report["members"] = federation.members
        self.report["frequency"] = federation.frequency
        self.report["ok"] = all(journey["ok"] for journey in self.report["journeys"])

    def _go(
        self, federation: DemoFederation, journeys: Iterable[tuple[str, Callable[[DemoFederation], dict[str, Any]]]]
    ) -> None:
        from cohelix.cli.demo_journeys import describe

        for name, journey in journeys:
            start = self._clock.monotonic()
            ok, detail = federation.attempt(journey)
            seconds = round(self._clock.monotonic() - start, 4)
            self.report["journeys"].append({"name": name, "ok": ok, "seconds": seconds, "detail": detail})
            describe(self._show.console, name, ok, seconds, detail)

    def _close(self, url: str, keep: Path | None, folder: Path) -> None:
        from rich.panel import Panel

        failed = [journey["name"] for journey in self.report["journeys"] if not journey["ok"]]
        verdict = (
            f"[bold red]failed: {', '.join(failed)}[/bold red]"
            if failed
            else "[bold green]every journey succeeded[/bold green]"
        )
        lines = [
            f"{verdict} in {self._show.seconds['total']:.1f} s",
            f"portal   [bold]{url}/[/bold]   (Ctrl-C stops everything)",
        ]
        if self.report["data"]["simulated"]:
            lines.insert(0, "[bold yellow]simulated data: no such person exists[/bold yellow]")
        lines += [f"sign in  {name}  {password}" for name, password in self._passwords.items()]
        if keep:
            lines.append(f"folders  {folder}")
        self._show.console.print(Panel("\n".join(lines), title="Cohelix demo", expand=False))


def _side_by_side(processes: Processes, work: Callable[[Share], Result], shares: Sequence[Share]) -> list[Result]:
    """Do the work for each member, two at a time; the first failure ends all of it."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running = [pool.submit(work, share) for share in shares]
        try:
            return [task.result() for task in running]
        except BaseException:
            for task in running:
                task.cancel()
            processes.stop_all()
            raise


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="cohelix-demo-") as scratch:
            yield Path(scratch)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise Conflict(f"--keep {keep} is not an empty folder: name a new one")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep


def _tell(report: dict[str, Any], path: Path | None, as_json: bool) -> None:
    text = json.dumps(report, indent=1)
    if path is not None:
        path.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)


def _fill_compiler_cache() -> None:
    """So that the nodes, which start at the same time, do not all compile the same."""
    from cohelix.testing.warm import warm

    warm()


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
