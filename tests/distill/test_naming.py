"""A name from a template: of the fields there are, and inside the folder whatever a model is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill import naming
from distill.errors import RequestError

VALUES = {
    "model": "low fog", "seed": 7, "index": 3, "date": "2026-01-31", "duration": "2.5", "loader": "vae", "rate": 48000,
    "format": "wav",
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{model}-{seed}", "low-fog-7"),
        ("{model}-{seed}-{index:03}", "low-fog-7-003"),
        ("{date}_{loader}_{duration}s_{rate}_{format}", "2026-01-31_vae_2.5s_48000_wav"),
        ("take", "take"),
        ("{{x}}", "x"),
        ("{index:02}", "03"),
        (".hidden", "hidden"),
        ("CON", "model-CON"),
    ],
)
def test_a_template_becomes_a_name(template: str, name: str) -> None:
    naming.check(template)
    assert naming.stem(template, VALUES) == name


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{name}", r"\{name\} is no field; there are \{model\}, \{seed\}, \{index\}.*width as in \{index:03\}"),
        ("{model.__class__}", r"\{model.__class__\} is no field"),
        ("{model[0]}", r"\{model\[0\]\} is no field"),
        ("{}", r"\{\} is no field"),
        ("{seed!r}", r"\{seed!r\} is no field"),
        ("{index:999999999}", r"\{index:999999999\} is no field"),
        ("{index:>9}", r"\{index:>9\} is no field"),
        ("{index:{seed}}", r"\{index:\{seed\}\} is no field"),
        ("{seed", "expected '}' before end of string"),
        ("a}", "single '}' encountered"),
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("{model:09}", r"\{model:09\} is no field"),
        ("../{seed}", "a name is no path; choose the folder with --output-dir"),
        ("a\\{seed}", "a name is no path"),
        ("x" * 201, "can be 201 bytes long; 200 are allowed"),
        ("{model}" * 4, "can be 240 bytes long"),
    ],
)
def test_what_is_no_template_is_refused_with_what_is_allowed(template: str, why: str) -> None:
    with pytest.raises(RequestError, match=f"^--name: .*{why}"):
        naming.check(template)


@given(st.text(max_size=300), st.text(max_size=20))
def test_no_model_leads_out_of_the_folder(model: str, rest: str) -> None:
    literal = rest.replace("/", "").replace("\\", "").replace("{", "").replace("}", "")
    name = naming.stem(f"{literal}{{model}}", VALUES | {"model": model})
    assert name
    assert not name.startswith(".")
    assert not set(name) & set("/\\\0")
    assert len(name.encode()) <= naming.LONGEST


@pytest.mark.parametrize(("template", "apart"), [("{model}", False), ("{seed}", True), ("a-{index:03}", True)])
def test_it_is_known_whether_names_of_a_run_differ(template: str, apart: bool) -> None:
    assert naming.tells_files_apart(template) is apart
