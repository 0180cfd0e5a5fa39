"""A chat server that also speaks OpenAI's files and batches API: questions are handed over in one file and answered some time later."""

from __future__ import annotations

import email.parser
import json
import threading
import time
from typing import Any

from score_rag.testing.chat_server import ChatServer

__all__ = ["BatchServer"]

_DONE = ("completed", "expired", "failed", "cancelled")


class BatchServer(ChatServer):
    """`ChatServer` with `/files` and `/batches`. Arguments and attributes as there; faults are of a batch's rows too.

    A row that fails with a status stands in the batch's file of errors; one whose connection would be closed is in neither file, as of a
    batch that expired.

    Attributes:
        polls: How often a batch is looked at before it is done.
        end: The status that batches come to: completed, expired or failed (then none of its rows is answered).
        files: Content of each file, by id.
        batches: Each batch, by id.
        lost: Batches that are made and whose answer is then lost on the way, as when a client is killed: the next so many.

    >>> import httpx
    >>> with BatchServer(lambda body: "Yes") as server:
    ...     found = httpx.get(server.url + "/batches").json()
    >>> found["data"]
    []
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.polls, self.end, self.lost = 1, "completed", 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self._looked: dict[str, int] = {}
        self._busy = threading.RLock()

    def handle(self, method: str, path: str, kind: str, raw: bytes) -> tuple[int, bytes, dict[str, str], float] | None:
        parts = path.partition("?")[0].removeprefix("/v1/").split("/")
        with self._busy:
            if method == "POST" and parts == ["files"]:
                return _json(self._keep_file(kind, raw))
            if method == "POST" and parts == ["batches"]:
                made = self._make(json.loads(raw))
                if self.lost:
                    self.lost -= 1
                    return None
                return _json(made)
            if method == "GET" and parts == ["batches"]:
                return _json({"object": "list", "data": list(self.batches.values())[::-1], "has_more": False})
            if method == "GET" and len(parts) == 2 and parts[0] == "batches" and parts[1] in self.batches:
                return _json(self._look(parts[1]))
            if method == "GET" and len(parts) == 3 and parts[0] == "files" and parts[1] in self.files:
                return 200, self.files[parts[1]], {}, 0
        return super().handle(method, path, kind, raw)

    def _keep_file(self, kind: str, raw: bytes) -> dict[str, Any]:
        form = email.parser.BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
        parts: Any = form.get_payload()
        content = next(part.get_payload(decode=True) for part in parts if part.get_filename())
        return self._add(content)

    def _add(self, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        facts = {"object": "file", "created_at": int(time.time()), "filename": "batch.jsonl", "purpose": "batch", "status": "processed"}
        return {"id": name, "bytes": len(content), **facts}

    def _make(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"batch-{len(self.batches) + 1}"
        rows = len(self.files[asked["input_file_id"]].splitlines())
        self._looked[name] = 0
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "completion_window": asked["completion_window"],
            "input_file_id": asked["input_file_id"],
            "metadata": asked.get("metadata"),
            "created_at": int(time.time()),
            "status": "validating",
            "request_counts": {"total": rows, "completed": 0, "failed": 0},
        }
        return self.batches[name]

    def _look(self, name: str) -> dict[str, Any]:
        """A batch's state; after so many looks its rows are answered, each once."""
        batch = self.batches[name]
        if batch["status"] in _DONE:
            return batch
        self._looked[name] += 1
        if self._looked[name] <= self.polls:
            batch["status"] = "in_progress"
            return batch
        batch["status"] = self.end
        if self.end == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "made_to_fail", "message": "made to fail", "line": 1}]}
            return batch
        told: dict[str, list[str]] = {"output": [], "error": []}
        for line in self.files[batch["input_file_id"]].splitlines():
            row = json.loads(line)
            found = self.reply(row["body"])
            if found is None:
                continue
            status, body, _, _ = found
            answer = {"id": f"row-{row['custom_id']}", "custom_id": row["custom_id"], "error": None}
            answer["response"] = {"status_code": status, "request_id": "1", "body": body}
            told["output" if status == 200 else "error"].append(json.dumps(answer) + "\n")
        for side, lines in told.items():
            if lines:
                # In an order of their own, as batches come back.
                batch[f"{side}_file_id"] = self._add("".join(lines[::-1]).encode())["id"]
        counts = {"completed": len(told["output"]), "failed": len(told["error"])}
        batch["request_counts"] |= counts
        return batch


def _json(told: dict[str, Any]) -> tuple[int, bytes, dict[str, str], float]:
    return 200, json.dumps(told).encode(), {}, 0
