"""The docs page: one HTML document, no script, no request to anywhere."""

from collections.abc import Iterator
from html import escape
from typing import Any, Final

__all__ = ["render_page"]

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre, .path { font-family: ui-monospace, monospace }
details { border: 1px solid #8886; border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem }
summary { cursor: pointer } .method { display: inline-block; min-width: 4.5rem; font-weight: 700 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top;
border-top: 1px solid #8884; padding: .25rem .6rem .25rem 0 } .about { color: #888 }
"""


def _type_of(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    for key in ("oneOf", "anyOf", "allOf"):
        if key in schema:
            return " or ".join(_type_of(part) for part in schema[key])
    if schema.get("type") == "array":
        return f"list of {_type_of(schema.get('items', {}))}"
    words = [str(schema.get("type", "any")), str(schema.get("format", ""))]
    words += [f"{key} {schema[key]}" for key in ("minLength", "maxLength", "minimum", "maximum") if key in schema]
    if "pattern" in schema:
        words.append(f"matching {schema['pattern']}")
    return escape(" ".join(word for word in words if word))


def _table(rows: list[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in rows) + "</table>"


def _content(holder: dict[str, Any]) -> str:
    kinds = holder.get("content", {})
    return "<br>".join(
        f"<code>{escape(kind)}</code> {_type_of(body.get('schema', {}))}" for kind, body in kinds.items()
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = [("Token", ", ".join(name for choice in operation.get("security", []) for name in choice) or "none")]
    for parameter in operation.get("parameters", []):
        place = f"<code>{escape(parameter['name'])}</code> ({parameter['in']})"
        rows.append((place, _type_of(parameter.get("schema", {}))))
    if "requestBody" in operation:
        rows.append(("Request", _content(operation["requestBody"])))
    for status, answer in operation["responses"].items():
        rows.append((status, f"{escape(answer.get('description', ''))}<br>{_content(answer)}"))
    return (
        f'<details><summary><span class="method">{method.upper()}</span> <span class="path">{escape(path)}</span> '
        f'<span class="about">{escape(operation.get("summary", ""))}</span></summary>'
        f"<p>{escape(operation.get('description', ''))}</p>{_table(rows)}</details>"
    )


def _operations(document: dict[str, Any]) -> Iterator[str]:
    for path, item in sorted(document["paths"].items()):
        for method, operation in item.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield _operation(path, method, operation)


def _schemas(document: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = set(schema.get("required", []))
        rows = [
            (f"<code>{escape(field)}</code>{'' if field in required else ' (optional)'}", _type_of(part))
            for field, part in schema.get("properties", {}).items()
        ]
        about = escape(schema.get("description", ""))
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{about}</p>{_table(rows)}'


def render_page(document: dict[str, Any]) -> str:
    """Return the page of an OpenAPI document; everything taken from it is escaped."""
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f'<p>{escape(info.get("description", ""))} Machine-readable: <a href="/schema">/schema</a>.</p>'
        f"<h2>Operations</h2>{''.join(_operations(document))}<h2>Messages</h2>{''.join(_schemas(document))}</html>"
    )
