"""The API in words: one page made of the OpenAPI document, without a script and without anything from another host."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI, Response

__all__ = ["pages"]


def pages(app: FastAPI) -> APIRouter:
    """The router; `app` has all others by the time that the page is asked for."""
    from jinja2 import Environment

    router = APIRouter(include_in_schema=False)
    folder = files("score_rag.serve") / "pages"
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string((folder / "docs.html").read_text("utf-8"))
    style = (folder / "docs.css").read_text("utf-8")

    @router.get("/docs")
    async def docs() -> Response:
        document = app.openapi()
        told = [
            {"path": path, "method": method.upper(), **operation, "body": _body(document, operation)}
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        return Response(template.render(title=document["info"]["title"], operations=told), media_type="text/html")

    @router.get("/docs.css")
    async def docs_style() -> Response:
        return Response(style, media_type="text/css")

    return router


def _body(document: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, str]]:
    """The fields of an operation's body: name, type, what it is for."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = _resolved(document, (content.get("anyOf") or [content])[0])
    needed = schema.get("required", [])
    return [
        {"name": name, "type": _type(field), "needed": "yes" if name in needed else "", "about": field.get("description", "")}
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    kind = str(field.get("type", "any"))
    return f"list of {_type(field['items'])}" if kind == "array" and "items" in field else kind
