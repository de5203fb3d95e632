"""`recsys`: a recommender on this machine. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from recsys_operator.operator_cli import operator_app
from recsys_operator.plugins import PluginGroup

if TYPE_CHECKING:
    from recsys_operator.local.state import DataDirectory

EXAMPLES = """
[bold]First steps[/]

  recsys up                                      the sample shop

  recsys ask "a light jacket for rainy hikes"    in another shell

  recsys ask "gift under 30" --user 17 --filter price=..30

  recsys down
"""

app = typer.Typer(
    cls=PluginGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"A conversational recommender over your own catalogue, from one resource.\n\n{EXAMPLES}",
)

app.add_typer(operator_app, name="operator")

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where the system keeps its data and logs.")]
OnErrorOption = Annotated[Literal["stop", "skip"], typer.Option("--on-error", help="What a bad row does.")]
DEFAULT_DATA_DIR = Path(".recsys")


@app.command()
def up(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A RecommenderSystem; default: the sample shop.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address that the gateway listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that the gateway listens on.")] = 8080,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready; it runs on.")] = False,
    base: Annotated[str | None, typer.Option(help="Instead of the resource's base model: its address.")] = None,
    tuned: Annotated[str | None, typer.Option(help="Instead of the resource's tuned model: its address.")] = None,
    on_error: OnErrorOption = "stop",
    ask: Annotated[str | None, typer.Option(help="Ask this when it is ready, and show the answer.")] = None,
    user: Annotated[str | None, typer.Option(help="Id of the customer for whom --ask asks.")] = None,
) -> None:
    """Run a RecommenderSystem as processes on this machine.

    Vector store, models and gateway start, the catalogue is loaded, and questions are answered until Ctrl-C.

      recsys up

      recsys up -f my-shop.yaml --data-dir my-shop --detach

      recsys up --base hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF

      recsys up --tuned file:///models/mine.gguf
    """
    from rich.console import Console

    from recsys_operator.local import up as local
    from recsys_operator.local.prepare import UpOptions, quickstart_file
    from recsys_operator.local.state import DataDirectory

    console, directory = Console(), DataDirectory(data_dir)
    options = UpOptions(file or quickstart_file(), host, port, base, tuned, on_error)
    try:
        if detach:
            if ask is not None:
                raise typer.BadParameter("--ask needs the foreground: leave --detach out, or use: recsys ask")
            local.detach(options, directory, console)
        else:
            local.up(options, directory, None if ask is None else local.Question(ask, user), console)
    except local.UpError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("Stopped.")


@app.command()
def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop what runs in a data directory. The catalogue stays; `recsys up` is quicker then.

    recsys down --data-dir my-shop
    """
    from recsys_operator.local.control import down as stop
    from recsys_operator.local.state import DataDirectoryError

    try:
        state = stop(_directory(data_dir))
    except DataDirectoryError as error:
        _fail(str(error))
    typer.echo(f"Nothing runs in {data_dir}." if state is None else f"Stopped {state.system} ({state.url}).")


@app.command()
def status(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state as JSON.")] = False,
) -> None:
    """Show the processes that run in a data directory, and how often each was started again.

    recsys status --json
    """
    from rich.console import Console

    from recsys_operator.local.control import show_status

    directory = _directory(data_dir)
    state = directory.running_state()
    if state is None:
        last = directory.last_state()
        because = f" The last start failed: {last.error}" if last is not None and last.error else ""
        _fail(f"Nothing runs in {data_dir}.{because}")
    if as_json:
        typer.echo(state.model_dump_json(by_alias=True, indent=2))
    else:
        show_status(Console(), state)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="milvus, engine-tuned, engine-base, gateway …")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with the lines that come.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Latest lines of each log.")] = 50,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Print the logs of the processes, or of one of them.

    recsys logs gateway -f
    """
    from recsys_operator.local import logs as files

    try:
        paths = files.log_files(_directory(data_dir).logs, name)
        source = files.follow(paths, lines) if follow else files.tail(paths, lines)
        for log, line in source:
            typer.echo(line if len(paths) == 1 else f"{log:<12} | {line}")
    except FileNotFoundError as error:
        _fail(str(error))
    except (KeyboardInterrupt, BrokenPipeError):
        # How one leaves `logs -f`, or `logs | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command()
def ask(
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help='What is looked for, in any language; "": what fits the customer.'),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Id of a customer; unknown or absent: a new one.")] = None,
    k: Annotated[int | None, typer.Option("-k", "--k", help="Number of items; default: the system's.")] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="FIELD=VALUE", help="Keep items where it holds; price=20..80 is a range."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Of a gateway; default: $RECSYS_URL, else what runs here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the HTTP body as it came.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Ask a running system for recommendations.

    recsys ask "a light jacket for rainy hikes" --user 17

    recsys ask "something for the kitchen" -k 5 --filter price=..40

    recsys ask "running shoes" --url http://recsys.example:8080 --json
    """
    from rich.console import Console

    from recsys_operator import ask as question

    if text is None:
        raise typer.BadParameter('it is missing; "" asks for what fits the customer', param_hint="TEXT")
    request: dict[str, object] = {"query": text}
    try:
        request |= {"filters": question.parse_filters(filters)} if filters else {}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--filter") from None
    request |= {"user_id": user} if user is not None else {}
    request |= {"k": k} if k is not None else {}
    try:
        body = question.ask(url or os.environ.get("RECSYS_URL") or _running_url(data_dir), request)
        if as_json:
            _write_body(body)
        else:
            question.show(Console(), body)
    except question.AskError as error:
        if as_json and error.body:
            _write_body(error.body)
            raise typer.Exit(1) from None
        _fail(str(error))


@app.command("load")
def load_catalogue(
    file: Annotated[Path, typer.Option("--file", "-f", help="A RecommenderSystem: its catalogue is loaded.")],
    on_error: OnErrorOption = "stop",
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Load a catalogue into the vector store of the system that runs in a data directory.

    Items that changed are updated, those that are gone are removed; loading twice changes nothing.

      recsys load -f my-shop.yaml --on-error skip
    """
    from recsys_operator.local.load import LoadError, load

    try:
        load(file, _directory(data_dir), on_error, typer.echo)
    except LoadError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("Stopped; what was acknowledged is loaded.")


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition of RecommenderSystem, for a cluster that shall know it.

    recsys crd | kubectl apply --server-side -f -
    """
    from recsys_operator.api.crd import as_yaml, custom_resource_definition

    typer.echo(as_yaml(custom_resource_definition()), nl=False)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder: one Parquet file a collection goes there.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Save the catalogue of a running system, with vectors and events.

    recsys backup backups/monday
    """
    from recsys_operator.local.backup import BackupFailed, save

    try:
        typer.echo(save(folder, _directory(data_dir)))
    except BackupFailed as error:
        _fail(str(error))


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="What recsys backup has written.")],
    replace: Annotated[bool, typer.Option("--replace", help="What the store holds now goes.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Put the catalogue of a backup in the place of what a running system has.

    recsys restore backups/monday --replace
    """
    from recsys_operator.local.backup import BackupFailed, bring_back

    try:
        typer.echo(bring_back(folder, _directory(data_dir), replace=replace))
    except BackupFailed as error:
        _fail(str(error))


def _write_body(body: bytes) -> None:
    """Exactly the body, but that a prompt on a terminal begins on a line of its own."""
    sys.stdout.buffer.write(body + b"\n" if _on_terminal() else body)


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _directory(path: Path) -> DataDirectory:
    from recsys_operator.local.state import DataDirectory

    return DataDirectory(path)


def _running_url(data_dir: Path) -> str:
    from recsys_operator.program import program

    state = _directory(data_dir).running_state()
    if state is None:
        _fail(f"Nothing runs in {data_dir}: start it with: {program()} up (or give --url, or set RECSYS_URL)")
    return state.url


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(1)


def main() -> None:
    app(prog_name="recsys")


if __name__ == "__main__":
    main()
