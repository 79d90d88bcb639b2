"""Draw a set of pictures as a class folder, which ``--data FOLDER`` reads.

``python -m training.draw dice FOLDER`` draws dice. The package has four of the sets as archives; with
``--archive`` such a one is written.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from . import sets


def files_of(name: str) -> Iterator[tuple[str, Image.Image]]:
    """Yield SPLIT/CLASS NAME/NUMBER and the picture, for each picture of a set."""
    for split in ("train", "val", "test"):
        counts: dict[str, int] = {}
        for label, picture in sets.pictures(name, split):
            counts[label] = counts.get(label, -1) + 1
            yield f"{split}/{label}/{counts[label]:05d}", picture


def write(name: str, folder: Path) -> None:
    """Write a set as PNG files in class folders."""
    for path, picture in files_of(name):
        file = folder / f"{path}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, compress_level=1)


def pack(name: str, archive: Path) -> None:
    """Write a set as an archive of WebP files, without loss."""
    with zipfile.ZipFile(archive, "w") as pictures:
        for path, picture in files_of(name):
            file = io.BytesIO()
            picture.save(file, "WEBP", lossless=True, quality=80, method=3)
            pictures.writestr(zipfile.ZipInfo(f"{path}.webp"), file.getvalue())


def main(arguments: list[str] | None = None) -> int:
    """Draw a set; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.draw", description=__doc__)
    parser.add_argument("name", choices=sets.names(), metavar="NAME")
    parser.add_argument("target", type=Path, metavar="FOLDER")
    parser.add_argument("--archive", action="store_true", help="write an archive as in the package")
    options = parser.parse_args(arguments)
    (pack if options.archive else write)(options.name, options.target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
