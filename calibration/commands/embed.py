"""``rt-calibrate embed``: vectors of words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from calibration.commands.recipe_options import recipe_option
from rt_decoder.commands.console import show_lines
from rt_decoder.commands.outputs import MODEL, Overwrite, claim_outputs
from rt_decoder.counted import counted
from rt_decoder.recipe import Recipe

__all__ = ["COMMANDS"]

_TARGET = Recipe().target


def embed(
    words: Annotated[
        Path, typer.Argument(metavar="TEXT", help="Text file, one word or sentence a line.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="safetensors file to write.")
    ],
    embedding: Annotated[str, recipe_option("embedding")] = _TARGET.embedding,
    layer: Annotated[int, recipe_option("layer")] = _TARGET.layer,
    pooling: Annotated[str, recipe_option("pooling")] = _TARGET.pooling,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Torch device that computes, such as cpu or cuda.")
    ] = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Write the vectors of words, and fill the cache that `fit` reads.

    Example: rt-calibrate embed words.txt --layer 6 -o words.safetensors
    """
    from safetensors.numpy import save

    from calibration.language.embeddings import embed as vectors_of
    from calibration.targets import vocabulary_items
    from rt_decoder.files.atomic import write_whole

    claim_outputs([("--output", output, MODEL[1:])], [words, embedding], overwrite)
    items = vocabulary_items(str(words), [])
    vectors = vectors_of(items, model=embedding, layer=layer, pooling=pooling, device=device)
    about = {"embedding": Path(embedding).name, "layer": str(layer), "pooling": pooling}
    payload = save({"vectors": vectors}, metadata={"items": json.dumps(items)} | about)
    write_whole(output, payload, overwrite)
    show_lines(
        f"wrote {counted(len(items), 'vector')} of {counted(vectors.shape[1], 'dimension')} to {output.name}"
    )


COMMANDS = (embed,)
