"""Run by another Python, which has nbclient: executes a notebook, with params set below its cell tagged `parameters`.

Its arguments are the notebook, and the params as a JSON mapping of names to Python literals or texts.
"""

import ast
import json
import os
from sys import argv
from typing import Any

import nbclient
import nbformat


def _literal(text: str) -> str:
    try:
        return repr(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return repr(text)


def _show(cell: Any, cell_index: int, **about: Any) -> None:
    for output in cell.get("outputs", []):
        if output.get("output_type") == "stream":
            os.write(1, output["text"].encode())


path, params = argv[1], json.loads(argv[2])
notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
if params:
    places = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if not places:
        raise SystemExit(f"{path} has no cell tagged `parameters`: params have no place in it")
    lines = "\n".join(f"{name} = {_literal(value)}" for name, value in params.items())
    notebook.cells.insert(places[0] + 1, nbformat.v4.new_code_cell(lines))  # type: ignore[no-untyped-call]
client = nbclient.NotebookClient(
    notebook,
    timeout=None,
    resources={"metadata": {"path": os.path.dirname(os.path.abspath(path))}},
    on_cell_executed=_show,
)
try:
    client.execute()
except nbclient.exceptions.CellExecutionError as error:
    raise SystemExit(str(error)) from None
