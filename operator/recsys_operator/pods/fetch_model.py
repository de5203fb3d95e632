"""Bring a model's files into a folder: ``python -m recsys_operator.pods.fetch_model URI FOLDER --format FORMAT``.

Where the folder is complete nothing is done, so a pod's init container may run it at each start. Of several that run at
once, on one volume, one fetches and the others wait. Exit status: 0 there, 1 try again, 2 it cannot be had.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys_operator.local.uris import UriError, sample_model_path, samples_folder
from recsys_operator.pods.arrange import Layout, arrange
from recsys_operator.pods.termination import FAILED, HOPELESS, TryAgain, give_up

COMPLETE = ".complete"
"""Written last into the folder: without it the files may be parts."""


def main() -> None:
    sys.exit(run(_parse(sys.argv[1:])))


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if (folder / COMPLETE).exists():
                print(f"{folder}: complete")  # noqa: T201 a command's output
                return 0
            _fetch(arguments.uri, folder, Layout(arguments.format), arguments.revision, arguments.secret)
            (folder / COMPLETE).write_text(arguments.uri, encoding="utf-8")
    except UriError as error:
        return give_up(str(error), HOPELESS)
    except TryAgain as error:
        return give_up(str(error), FAILED)
    except OSError as error:
        return give_up(f"{folder}: {error.strerror or error}: is the volume full, or mounted read-only?", FAILED)
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{arguments.uri}: {len(files)} files, {size} bytes in {folder}")  # noqa: T201 a command's output
    return 0


def _fetch(uri: str, folder: Path, layout: Layout, revision: str | None, secret: Path | None) -> None:
    match uri.partition("://")[0]:
        case "hf":
            # Read when huggingface_hub is imported, which must come after.
            if secret is not None:
                os.environ["HF_TOKEN_PATH"] = str(secret / "token")
            from recsys_operator.pods.fetch_hub import fetch_hub

            fetch_hub(uri, folder, layout, revision)
        case "s3":
            from recsys_operator.pods.fetch_bucket import fetch_bucket

            fetch_bucket(uri, folder, secret)
        case "sample":
            source = sample_model_path(uri, samples_folder())
            if source.is_dir():
                shutil.copytree(source, folder, dirs_exist_ok=True)
            else:
                shutil.copy(source, folder)
        case _:
            raise UriError(f"{uri}: only hf://, s3:// and sample:// are fetched")
    arrange(uri, folder, layout)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against others who fetch; the kernel lets go of it when the holder dies."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", help="hf://ORG/NAME[:FILE.gguf], s3://BUCKET/KEY or sample://NAME")
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--format", choices=[layout.value for layout in Layout], required=True)
    parser.add_argument("--revision", help="branch, tag or commit of a hub's repository")
    parser.add_argument("--secret", type=Path, help="folder with the token, or with a bucket's AWS_… keys, as files")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
