"""Find a template for your own images, and write it for open_clip. Asks no LLM.

Run it by ``python examples/own_folder.py FOLDER "what the images show"``; FOLDER holds CLASS/*.jpg.
"""

from __future__ import annotations

import argparse

from promptclimb import SearchConfig, export, search_sync


def main() -> None:
    """Search, print what to use with its gain on test, and export the texts."""
    parser = argparse.ArgumentParser(description="Find a template for a folder of images.")
    parser.add_argument("folder")
    parser.add_argument("description")
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--pretrained", default="laion2b_s34b_b79k")
    options = parser.parse_args()

    result = search_sync(
        SearchConfig(
            data=options.folder,
            describe=options.description,
            model=options.model,
            pretrained=options.pretrained,
        )
    )
    print(f"best template: {result.best.template}")
    print(result.recommended.verdict)
    assert result.run_dir is not None
    print(f"for open_clip: {export(result.run_dir, 'open-clip')}")


if __name__ == "__main__":
    main()
