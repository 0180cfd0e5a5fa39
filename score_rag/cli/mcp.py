"""`score-rag mcp`: a finished run as tools for agents, by the Model Context Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import PipelineName, Set

if TYPE_CHECKING:
    from score_rag.integrations.toolbox import Toolbox

__all__ = ["mcp", "open_toolbox"]


def mcp(
    pipeline: PipelineName,
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP at /mcp, not over standard input and output.")] = False,
    host: Annotated[
        str, typer.Option(help="Where to listen with --http. Beyond this machine only if SCORE_RAG_API_KEY is set in the environment.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Likewise.")] = 8765,
    set_: Set = None,
) -> None:
    """Serve a finished run to agents as an MCP server: tools recommend, score, explain, neighbours, search_items."""
    from score_rag.access import api_key
    from score_rag.integrations.mcp_server import serve_http, serve_stdio

    if http:
        serve_http(open_toolbox(pipeline, set_ or []), host=host, port=port, key=api_key())
    else:
        serve_stdio(lambda: open_toolbox(pipeline, set_ or []))


def open_toolbox(name: str, overrides: list[str]) -> Toolbox:
    """The questions to a finished run; says on standard error where the run is stale.

    Raises:
        InputError: There is no such pipeline.
        StageError: A stage of the run is not finished.
    """
    from score_rag.cli.recommend import staleness
    from score_rag.cli.screen import console
    from score_rag.integrations.toolbox import Toolbox
    from score_rag.pipeline.config import load_pipeline
    from score_rag.recommend.recommender import open_recommender

    pipeline = load_pipeline(name, overrides=overrides)
    toolbox = Toolbox(open_recommender(pipeline))
    if stale := staleness(pipeline):
        console(error=True).print(f"note: {stale}", style="yellow", soft_wrap=True, markup=False)
    return toolbox
