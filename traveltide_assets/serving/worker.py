"""The process that answers batches and raw rows: `python -m traveltide_assets.serving.worker`.

It reads messages from its standard input and writes its answers to its standard output. A message
is a list of parts: their number, their lengths, their bytes. `workers.py` is at the other end, and
ends the process when an answer takes too long.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from typing import BinaryIO

import psutil

from traveltide_assets.serving import messages
from traveltide_assets.serving.histories import RejectedRow
from traveltide_assets.serving.scorer import Scorer
from traveltide_assets.serving.trouble import place_of

MODEL, QUESTION, READY = b"model", b"question", b"ready"
# HTTP status, number of customers scored, and whether the process ends after this answer.
ANSWER = struct.Struct("<II?")
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def head(parts: Sequence[bytes | bytearray]) -> bytes:
    """What precedes the parts of a message."""
    return struct.pack(f"<I{len(parts)}Q", len(parts), *map(len, parts))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-batch", type=int, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    options = parser.parse_args()
    # Who stops the service stops its process, which ends this one once its answers are given.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    _limit_memory(options.memory_mb * 1_000_000)
    _answer_all(sys.stdin.buffer, sys.stdout.buffer, messages.Questions(options.max_batch))


def _limit_memory(work: int) -> None:
    held = psutil.Process().memory_info().data
    resource.setrlimit(resource.RLIMIT_DATA, (held + work, held + work))


def _answer_all(source: BinaryIO, target: BinaryIO, questions: messages.Questions) -> None:
    scorer: Scorer | None = None
    _send(target, [READY])
    while parts := _receive(source):
        kind, *rest = parts
        if kind == MODEL:
            scorer = Scorer.from_parts(rest)
            _send(target, [READY])
            continue
        if scorer is None:
            raise RuntimeError("a question came before a model")
        try:
            status, customers, text = _answer(scorer, questions, rest[0])
        except MemoryError:
            text = _detail("the question takes too much memory: ask for fewer customers at once")
            _send(target, [ANSWER.pack(413, 0, True), text])
            return
        _send(target, [ANSWER.pack(status, customers, False), text])


def _answer(scorer: Scorer, questions: messages.Questions, body: bytes) -> tuple[int, int, bytes]:
    """Status, number of customers and text of the answer."""
    try:
        question = questions.parse_large(body)
        customers = question.customers if isinstance(question, messages.Batch) else [question]
        answers = scorer.score_many(customers)
    except messages.TooMany as error:
        return 413, 0, _detail(str(error))
    except messages.Invalid as error:
        return 422, 0, _json({"detail": error.problems})
    except RejectedRow as row:
        place = row.place
        if isinstance(question, messages.Batch):
            place = ["customers", row.customer, *place]
        refused = messages.Invalid.at(place, str(row), "refused")
        return 422, 0, _json({"detail": refused.problems})
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - its message might quote the question
        return 500, 0, place_of(error).encode()
    whole = {"answers": answers} if isinstance(question, messages.Batch) else answers[0]
    return 200, len(answers), _json(whole)


def _detail(text: str) -> bytes:
    return _json({"detail": text})


def _json(content: object) -> bytes:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _receive(source: BinaryIO) -> list[bytes]:
    """The parts of the next message; none at the end."""
    if not (found := source.read(4)):
        return []
    (number,) = struct.unpack("<I", found)
    lengths = struct.unpack(f"<{number}Q", source.read(8 * number))
    return [source.read(length) for length in lengths]


def _send(target: BinaryIO, parts: Sequence[bytes]) -> None:
    target.write(head(parts))
    for part in parts:
        target.write(part)
    target.flush()


if __name__ == "__main__":
    main()
