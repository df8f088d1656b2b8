"""Reads the text files that people edit: settings, catalogues and lists."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from pathlib import Path

from traveltide_assets.schema.errors import TravelTideError

_OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


class UnreadableText(TravelTideError, ValueError):
    """The file is not there, not readable or not text. The message names it and the reason."""


@dataclass(frozen=True)
class TextFile:
    """The text of a file, without a byte order mark, and the SHA-256 of its bytes."""

    text: str
    digest: str


def read_text(path: Path) -> TextFile:
    """Read a file of UTF-8 text, with or without a byte order mark. Raises `UnreadableText`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableText(f"{path} cannot be read: {_reason(error)}") from error
    return TextFile(_decoded(content, path), hashlib.sha256(content).hexdigest())


def _reason(error: OSError) -> str:
    reasons: dict[type[OSError], str] = {
        FileNotFoundError: "there is no such file",
        IsADirectoryError: "it is a folder",
        PermissionError: "this user has no right to read it",
    }
    return reasons.get(type(error), error.strerror or str(error))


def _decoded(content: bytes, path: Path) -> str:
    # Without a mark, UTF-16 of English words is valid UTF-8 with a NUL in every other place.
    if content.startswith(_OTHER_MARKS) or b"\0" in content:
        raise UnreadableText(
            f"{path} is not text in UTF-8, but perhaps in UTF-16: save it as UTF-8"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UnreadableText(
            f"{path}, line {line}: a character is not UTF-8: save the file as UTF-8"
        ) from None
