"""build.py SRC.txt NOTEBOOK.ipynb: plain-text cells -> notebook without outputs (existing ids are kept by position).
SRC: blocks that start with a line `=== meta` (JSON of metadata.llmers), `=== md`, `=== code [tag ...]`, `=== solution` (code, collapsed)."""
import sys, re, json, hashlib, pathlib
src, out = map(pathlib.Path, sys.argv[1:3])
blocks = re.split(r"^=== ?", src.read_text(), flags=re.M)[1:]
old = json.loads(out.read_text())["cells"] if out.exists() else []
cells, meta = [], None
for b in blocks:
    head, _, body = b.partition("\n")
    kind, *tags = head.split()
    body = body.strip("\n")
    if kind == "meta":
        meta = json.loads(body); continue
    n = len(cells)
    cid = old[n]["id"] if n < len(old) else hashlib.sha1(f"{src.stem}{n}".encode()).hexdigest()[:8]
    lines = body.splitlines(keepends=True)
    if kind == "md":
        cells.append({"cell_type": "markdown", "id": cid, "metadata": {}, "source": lines})
    else:
        md = {}
        if kind == "solution":
            md = {"jupyter": {"source_hidden": True}, "tags": ["solution"]}
        elif tags:
            md = {"tags": tags}
        cells.append({"cell_type": "code", "execution_count": None, "id": cid, "metadata": md, "outputs": [], "source": lines})
ids = set()
for i, c in enumerate(cells):
    while c["id"] in ids: c["id"] = hashlib.sha1(f"{c['id']}{i}".encode()).hexdigest()[:8]
    ids.add(c["id"])
nb = {"cells": cells, "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
  "language_info": {"codemirror_mode": {"name": "ipython", "version": 3}, "file_extension": ".py", "mimetype": "text/x-python", "name": "python", "nbconvert_exporter": "python", "pygments_lexer": "ipython3"},
  "llmers": meta}, "nbformat": 4, "nbformat_minor": 5}
out.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + "\n")
print(out, len(cells), "cells")
