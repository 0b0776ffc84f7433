"""`cohelix node datasets`, `history`, `diff`, `add`, `withdraw`, `hide`, `show`, `retire`, `delete`, `backup`, `restore`,
`upgrade` and `verify`: a dataset's life after its first load."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from cohelix.cli.groups import SeveralFiles, add_group, node_app
from cohelix.cli.tables import show_table

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
_Dataset = Annotated[str, typer.Option("--dataset", metavar="ID", help="The dataset's id within the node.")]
_AnyDataset = Annotated[str | None, typer.Option("--dataset", metavar="ID", help="Only this dataset; all if left out.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `cohelix node`."""
    node_app.command("add", cls=SeveralFiles)(add)
    for command in (datasets, history, diff, withdraw, hide, show, retire, delete, backup, restore, upgrade, verify):
        node_app.command(command.__name__)(command)
    add_group(app, node_app)


def datasets(folder: _Folder, as_json: _Json = False) -> None:
    """The node's datasets: state, version, release and sizes, hidden, retired and damaged ones too."""
    from cohelix.bank.life import statuses

    _check_node(folder)
    found = statuses(folder)
    columns = (
        "dataset",
        "state",
        "version",
        "release",
        "disclosure",
        "people",
        "released",
        "waiting",
        "variants",
        "bytes",
        "membershipPower",
    )
    _show(found, columns, as_json=as_json)
    for item in found:
        if "reason" in item and not as_json:
            typer.echo(f"{item['dataset']}: {item['reason']}", err=True)


def history(folder: _Folder, dataset: _Dataset, as_json: _Json = False) -> None:
    """The releases of a dataset: when and why each was made, how many people it holds, and who came and left in number."""
    from cohelix.bank.life import history as releases_of

    _check_node(folder)
    found = releases_of(folder, _id(dataset))
    _show(found, ("release", "version", "at", "why", "people", "waiting", "came", "left"), as_json=as_json)


def diff(
    folder: _Folder,
    dataset: _Dataset,
    *,
    older: Annotated[int | None, typer.Option("--from", help="Older version; the one before the newer if left out.")] = None,
    newer: Annotated[int | None, typer.Option("--to", help="Newer version; the current one if left out.")] = None,
    as_json: _Json = False,
) -> None:
    """How two versions of a dataset differ: variants and people added and removed, variants with other counts."""
    from cohelix.bank.life import diff as difference

    _check_node(folder)
    found = difference(folder, _id(dataset), older=older, newer=newer)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{found['dataset']}: version {found['older']} to {found['newer']}")
    for what in ("variants", "people", "released"):
        typer.echo(f"  {what:<9} " + ", ".join(f"{name} {count:,}" for name, count in found[what].items()))


def add(
    folder: _Folder,
    dataset: _Dataset,
    genotypes: Annotated[
        list[Path], typer.Option("--genotypes", metavar="FILE…", help="Files of the new people, all with the same samples.")
    ],
    *,
    individuals: Annotated[
        Path | None,
        typer.Option("--individuals", metavar="FILE_OR_DIR", help="The new people's table; known people stay as they are."),
    ] = None,
    mapping: Annotated[Path | None, typer.Option("--mapping", metavar="YAML", help="What the table's columns mean.")] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="FASTA", help="Reference sequence, to left-align indels.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Add people to a dataset without loading the others again; makes a new version and a new release."""
    from cohelix.bank.life import add as add_people
    from cohelix.cli.audit_log import note_dataset

    _check_node(folder)
    done = add_people(
        folder,
        _id(dataset),
        tuple(genotypes),
        individuals=individuals,
        mapping=mapping,
        reference=reference,
        stage=_say,
    )
    note_dataset(folder, dataset, "people added", str(done.document()["version"]))
    _told([done], as_json=as_json)


def withdraw(
    folder: _Folder,
    individuals: Annotated[
        Path, typer.Option("--individuals", metavar="FILE", help="Who withdraws: one individual id a line.")
    ],
    *,
    dataset: _AnyDataset = None,
    as_json: _Json = False,
) -> None:
    """Take people out: at once out of every answer, then out of the files. Without --dataset, out of all datasets."""
    from cohelix.bank.life import withdraw as withdraw_people
    from cohelix.cli.audit_log import note_dataset
    from cohelix.phenotypes.table import read_identifiers

    _check_node(folder)
    names = tuple(read_identifiers(individuals))
    done = withdraw_people(folder, names, dataset=_id(dataset) if dataset is not None else None, stage=_say)
    for step in done:
        item = step.document()
        note_dataset(folder, item["dataset"], "people withdrawn", str(item["version"]))
    _told(done, as_json=as_json)


def hide(folder: _Folder, dataset: _Dataset, as_json: _Json = False) -> None:
    """Take a dataset out of what the public sees; the operator's commands go on."""
    _change(folder, dataset, "hidden", as_json=as_json)


def show(folder: _Folder, dataset: _Dataset, as_json: _Json = False) -> None:
    """Let the public see a hidden dataset again."""
    _change(folder, dataset, "published", as_json=as_json)


def retire(folder: _Folder, dataset: _Dataset, as_json: _Json = False) -> None:
    """End a dataset: it is kept as it is, answers nothing, and takes no further version; 'show' brings it back."""
    _change(folder, dataset, "retired", as_json=as_json)


def delete(
    folder: _Folder,
    dataset: _Dataset,
    *,
    confirm: Annotated[str, typer.Option("--confirm", metavar="ID", help="The dataset's id once more.")] = "",
    forget_releases: Annotated[
        bool, typer.Option("--forget-releases", help="Remove the history of releases too, which only holds keyed hashes.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Remove a dataset's files for good."""
    from cohelix.bank.life import delete as delete_dataset
    from cohelix.cli.audit_log import note_dataset
    from cohelix.core.errors import BadUsage

    _check_node(folder)
    if confirm != dataset:
        raise BadUsage(f"deleting cannot be undone: say it with --confirm {dataset}")
    delete_dataset(folder, _id(dataset), keep_history=not forget_releases)
    note_dataset(folder, dataset, "deleted")
    typer.echo(json.dumps({"dataset": dataset, "deleted": True}) if as_json else f"{dataset} is deleted")


def backup(
    folder: _Folder,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The archive to write; as secret as the folder itself.")],
    as_json: _Json = False,
) -> None:
    """Write the node's folder into one archive that proves itself: datasets, releases, identity, keys."""
    from cohelix.bank.backup import backup as write_backup
    from cohelix.cli.audit_log import note_export

    _check_node(folder)
    note_export(folder, "*", "backup of the folder")
    done = write_backup(folder, out)
    text = f"{done['files']} files of {len(done['datasets'])} datasets in {done['archive']} ({done['bytes']:,} bytes)"
    typer.echo(json.dumps(done) if as_json else text)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    archive: Annotated[Path, typer.Option("--archive", metavar="FILE", help="What 'cohelix node backup' wrote.")],
    as_json: _Json = False,
) -> None:
    """Make a node's folder from an archive, every byte verified; the folder appears whole or not at all."""
    from cohelix.bank.backup import restore as read_backup
    from cohelix.cli.audit_log import note_dataset

    done = read_backup(archive, folder)
    note_dataset(folder, "*", "restored from a backup")
    text = f"{done['files']} files of {len(done['datasets'])} datasets verified in {done['node']}"
    typer.echo(json.dumps(done) if as_json else text)


def upgrade(folder: _Folder, *, dataset: _AnyDataset = None, as_json: _Json = False) -> None:
    """Bring datasets that an older Cohelix loaded to the present format; genotype files stay as they are."""
    from cohelix.bank.life import upgrade as upgrade_dataset
    from cohelix.cli.audit_log import note_dataset

    _check_node(folder)
    found = [step for name in _chosen(folder, dataset) if (step := upgrade_dataset(folder, name)) is not None]
    for step in found:
        note_dataset(folder, step.document()["dataset"], "upgraded", str(step.document()["version"]))
    _told(found, as_json=as_json, nothing="every dataset has the present format")


def verify(folder: _Folder, *, dataset: _AnyDataset = None, as_json: _Json = False) -> None:
    """Read every byte of the stored files and compare it with what was written; exit 1 where a file is damaged."""
    from cohelix.bank.life import verify as verify_datasets

    _check_node(folder)
    found = verify_datasets(folder, _chosen(folder, dataset))
    if as_json:
        typer.echo(json.dumps({"datasets": [{"dataset": name, "damaged": files} for name, files in found.items()]}))
    else:
        for name, files in found.items():
            typer.echo(f"{name}: " + (f"DAMAGED: {', '.join(files)}" if files else "every byte is as it was written"))
    if any(found.values()):
        raise typer.Exit(1)


def _change(folder: Path, dataset: str, state: Any, *, as_json: bool) -> None:
    from cohelix.bank.publish import change_state
    from cohelix.cli.audit_log import note_dataset

    _check_node(folder)
    change_state(folder, _id(dataset), state)
    note_dataset(folder, dataset, state)
    typer.echo(json.dumps({"dataset": dataset, "state": state}) if as_json else f"{dataset} is {state}")


def _chosen(folder: Path, dataset: str | None) -> list[Any]:
    from cohelix.bank.publish import all_datasets, current_version

    if dataset is None:
        return list(all_datasets(folder))
    current_version(folder, _id(dataset))
    return [_id(dataset)]


def _told(steps: Iterable[Any], *, as_json: bool, nothing: str = "nothing was to be done") -> None:
    found = [step.document() for step in steps]
    if as_json:
        typer.echo(json.dumps({"datasets": found}))
        return
    for item in found:
        typer.echo(
            f"{item['dataset']}: version {item['version']}, release {item['release']}: "
            f"{item['people']:,} people, {item['released']:,} of them in the release"
        )
    if not found:
        typer.echo(nothing)


def _show(found: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"items": found}))
    else:
        show_table(columns, [[item.get(name) for name in columns] for item in found])


def _say(stage: str) -> None:
    typer.echo(f"working: {stage}", err=True)


def _check_node(folder: Path) -> None:
    from cohelix.node.settings import read_settings

    read_settings(folder)


def _id(text: str) -> Any:
    from cohelix.core.ids import dataset_id

    return dataset_id(text)
