"""A finished run inside a FastAPI app of your own (`pip install fastapi uvicorn`).

SCORE_RAG_PIPELINE=sample uvicorn --app-dir examples fastapi_app:app

Calls that come together are answered as one batch; models are loaded once, when the app starts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query

from score_rag import ScoreError, load_pipeline, open_recommender
from score_rag.integrations.answers import Explanation, Ranking
from score_rag.integrations.toolbox import Toolbox


@asynccontextmanager
async def opened(app: FastAPI) -> AsyncIterator[None]:
    """Open the run before the first request."""
    pipeline = load_pipeline(os.environ.get("SCORE_RAG_PIPELINE", "sample"))
    app.state.toolbox = Toolbox(await asyncio.to_thread(open_recommender, pipeline))
    yield


app = FastAPI(title="my shop", lifespan=opened)


@app.get("/users/{user_id}/recommendations")
async def recommendations(user_id: str, n: Annotated[int, Query(ge=1, le=100)] = 10) -> Ranking:
    """The items that a user will most likely like."""
    toolbox: Toolbox = app.state.toolbox
    try:
        return await toolbox.recommend(user_id=user_id, n=n)
    except ScoreError as error:
        raise HTTPException(404, str(error)) from error


@app.get("/users/{user_id}/items/{item_id}")
async def why(user_id: str, item_id: str) -> Explanation:
    """Will they like it, and on what evidence?"""
    toolbox: Toolbox = app.state.toolbox
    try:
        return await toolbox.explain(item=item_id, user_id=user_id)
    except ScoreError as error:
        raise HTTPException(404, str(error)) from error
