"""unbuild.py NOTEBOOK.ipynb SRC.txt: the reverse of build.py."""
import sys, json
nb = json.load(open(sys.argv[1])); o = ["=== meta\n" + json.dumps(nb["metadata"]["llmers"], indent=1) + "\n"]
for c in nb["cells"]:
    t = c["metadata"].get("tags", [])
    head = "md" if c["cell_type"] == "markdown" else "solution" if "solution" in t else " ".join(["code", *t])
    o.append(f"=== {head}\n{''.join(c['source'])}\n")
open(sys.argv[2], "w").write("\n".join(o))
