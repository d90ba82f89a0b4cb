from __future__ import annotations

import pytest

from llmers_utils.language.prompts import PROMPTS, load_template
from llmers_utils.language.schemas import SCHEMAS, schema_class
from llmers_utils.language.tasks import TASKS

FRONT = "---\ntask: t\nversion: 2\nschema: null\nmax_tokens: 9\n---\n"
BODY = "## system\nBe brief.\n\n## user\nAbout {film}: {{literal}}\n"


def write(folder, text, name="t"):
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return load_template(name, folder)


@pytest.mark.parametrize("task", TASKS)
def test_shipped_templates_name_every_key_of_their_schema(task):
    template = load_template(task)
    assert template.fields == ("input",)
    assert PROMPTS / f"{task}.md" == template.path
    messages = template.render(input="{braces} stay")
    assert [message["role"] for message in messages] == ["system", "user"]
    assert "{braces} stay" in messages[1]["content"]
    keys = schema_class(template.schema).model_fields if template.schema else ()
    for key in keys:
        assert f'"{key}"' in messages[1]["content"]


def test_every_schema_refuses_unknown_keys():
    for schema in SCHEMAS.values():
        assert schema.model_config["extra"] == "forbid"
        assert schema.model_json_schema()["additionalProperties"] is False


def test_render(tmp_path):
    template = write(tmp_path, FRONT + BODY)
    assert template.version == 2
    assert template.render(film="Heat") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "About Heat: {literal}"},
    ]


@pytest.mark.parametrize("fields", [{}, {"film": "a", "year": "1"}, {"movie": "a"}])
def test_wrong_fields_name_the_file(fields, tmp_path):
    with pytest.raises(ValueError, match=r"t\.md: unknown fields .*missing fields"):
        write(tmp_path, FRONT + BODY).render(**fields)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (BODY, "front matter"),
        (FRONT + "## user\nx\n", "## system"),
        (FRONT.replace("task: t", "task: other") + BODY, "other"),
        (FRONT.replace("null", "Nothing") + BODY, "ItemKnowledge"),
        (FRONT.replace("version: 2\n", "") + BODY, "version"),
    ],
)
def test_wrong_files(text, named, tmp_path):
    with pytest.raises(ValueError, match=named):
        write(tmp_path, text)


def test_unknown_template_lists_the_known(tmp_path):
    with pytest.raises(KeyError, match="item_knowledge"):
        load_template("item_knowlege")
