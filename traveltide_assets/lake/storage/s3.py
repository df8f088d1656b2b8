"""Storage in S3: boto3 transfers whole objects, and all other code works on local copies.

An object appears in one step, when its upload is complete, and only if the key still has the
version that the writer knew (a conditional request). Its SHA-256 is stored with it and verified by
every reader. Local copies of objects are kept by ETag.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import mimetypes
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

from botocore.exceptions import FlexibleChecksumError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.engines.base import Spread
from traveltide_assets.engines.checksum import digest_of
from traveltide_assets.lake.config import Config
from traveltide_assets.lake.storage.base import (
    Conflict,
    Entry,
    Fence,
    Replaced,
    StorageError,
    no_fence,
)
from traveltide_assets.lake.storage.bucket import Bucket, Changed
from traveltide_assets.lake.storage.folder import partial, replacing, unused
from traveltide_assets.schema import places

_ATTEMPTS = 6
_THREADS = 8
_PART_BYTES = 16 * 2**20
_MAX_PARTS = 10_000
_ABANDONED_SECONDS = 24 * 3600
_UNUSED_SECONDS = 24 * 3600
_FORGOTTEN_SECONDS = 14 * 24 * 3600
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class _Damaged(Exception):
    """The downloaded content differs from the stored content."""


class S3:
    """Objects under a prefix of a bucket. A key follows the prefix; a version is an ETag."""

    def __init__(self, location: S3Location, cache: Path, setting: str, config: Config) -> None:
        self._location = location
        self._folder = f"{location.prefix}/" if location.prefix else ""
        self._cache = cache.resolve()
        self._bucket = Bucket(location, setting, config)
        self.fence: Fence = no_fence

    def fenced(self, fence: Fence) -> Self:
        other = copy.copy(self)
        other.fence = fence
        return other

    def versions(self, folder: str = "", deep: bool = True) -> dict[str, str]:
        return {
            self._name(found["Key"]): found["ETag"].strip('"')
            for page in self._pages(folder, deep)
            for found in page.get("Contents", [])
            # Some programs store keys that end with a slash to represent folders.
            if not found["Key"].endswith("/")
        }

    def entries(self) -> list[Entry]:
        pages = self._pages(deep=False)
        folders = [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]
        entries = [
            *(Entry(self._name(key).rstrip("/"), problem="a folder") for key in folders),
            *(
                Entry(
                    self._name(found["Key"]),
                    found["ETag"].strip('"'),
                    found["LastModified"].timestamp(),
                )
                for page in pages
                for found in page.get("Contents", [])
                if not found["Key"].endswith("/")
            ),
        ]
        shown = (entry for entry in entries if not entry.name.startswith("."))
        return sorted(shown, key=lambda entry: entry.name)

    def _pages(self, folder: str = "", deep: bool = True) -> list[dict[str, Any]]:
        """The listing of a folder, complete."""
        prefix = self._folder + (f"{folder}/" if folder else "")
        options = {"Prefix": prefix, **({} if deep else {"Delimiter": "/"})}
        pages: list[dict[str, Any]] = []
        while not pages or pages[-1]["IsTruncated"]:
            pages.append(self._bucket.ask("list", self.uri(folder), "list_objects_v2", **options))
            options["ContinuationToken"] = pages[-1].get("NextContinuationToken", "")
        return pages

    def files(self, versions: Mapping[str, str], spread: Spread | None = None) -> list[Path]:
        copies = {key: self._place(key, version) for key, version in versions.items()}
        absent = [(key, versions[key], copy) for key, copy in copies.items() if not _kept(copy)]
        if spread is not None:
            spread(self._fetch, absent)
        else:
            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(self._fetch, absent))
        return list(copies.values())

    @contextmanager
    def replacing(self, key: str, version: str | None) -> Iterator[Path]:
        with self.replacing_all({key: version}) as paths:
            yield paths[key]

    @contextmanager
    def replacing_all(
        self, versions: Mapping[str, str | None], spread: Spread | None = None
    ) -> Iterator[dict[str, Path]]:
        with ExitStack() as stack:
            stack.enter_context(places.explained(self._cache, places.HOME))
            paths = {key: stack.enter_context(partial(self._place(key, "new"))) for key in versions}
            yield paths
            written = [(key, version, paths[key]) for key, version in versions.items()]
            # One after the other, because the parts of each upload use all threads.
            etags = (spread or _in_turn)(self._publish, written)
            for (key, _, path), etag in zip(written, etags, strict=True):
                copy = self._place(key, etag)
                os.replace(path, copy)
                _forget_others(copy)

    def remove(self, key: str) -> None:
        self._replace("remove", key, "delete_object")

    def look(self, key: str) -> tuple[bytes, str] | None:
        def received() -> tuple[bytes, str]:
            found = self._bucket.once("get_object", Key=self._folder + key)
            return found["Body"].read(), found["ETag"].strip('"')

        try:
            return self._bucket.patiently("read", self.uri(key), received)
        except Changed:
            return None

    def swap(self, key: str, content: bytes | None, version: str | None) -> None:
        try:
            if content is None:
                self._write(key, "delete_object", **_condition(version))
            else:
                self._write(key, "put_object", Body=content, **_condition(version))
        except Changed:
            # Either another writer was faster, or a response was lost and this is our own object.
            found = self.look(key)
            if (found[0] if found else None) != content:
                raise Conflict(f"{self.uri(key)} was replaced by another run") from None

    def sweep(self) -> None:
        # The bucket shows no partial objects; each upload removes those of its key.
        for forgotten in unused(filter(Path.is_file, self._cache.rglob("*")), _FORGOTTEN_SECONDS):
            forgotten.unlink(missing_ok=True)

    def clear(self, folder: str, keep: str) -> None:
        keys = sorted(self.versions(folder), key=lambda key: key.count("/"))
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(self.remove, [key for key in keys if key != keep]))

    def uri(self, key: str = "") -> str:
        return f"s3://{self._location.bucket}/{self._folder}{key}".rstrip("/")

    # Reading

    def _fetch(self, wanted: tuple[str, str, Path]) -> None:
        """Download one version of a key to a path."""
        key, version, copy = wanted
        with places.explained(self._cache, places.HOME), replacing(copy) as path:
            self._download(key, version, path)
        _forget_others(copy)

    def _download(self, key: str, version: str, path: Path) -> None:
        place = self.uri(key)

        def warn(state: RetryCallState) -> None:
            problem = state.outcome.exception() if state.outcome else None
            _log.warning("%s was downloaded with damage: %s", place, problem)

        repeatedly = Retrying(
            retry=retry_if_exception_type(_Damaged),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1),
            before_sleep=warn,
            reraise=True,
        )
        try:
            repeatedly(
                self._bucket.patiently, "read", place, lambda: self._receive(key, version, path)
            )
        except _Damaged as error:
            raise StorageError(
                f"{place} was not downloaded whole in {_ATTEMPTS} attempts: {error}. "
                "If the object itself is damaged, materialize it again"
            ) from None
        except Changed:
            raise Replaced(f"{place} was replaced while it was read: run this again") from None

    def _receive(self, key: str, version: str, path: Path) -> None:
        """Download an object; `_Damaged` if its content is not the stored one."""
        found = self._bucket.once(
            "get_object",
            Key=self._folder + key,
            IfMatch=f'"{version}"',
            ChecksumMode="ENABLED",
        )
        digest = hashlib.sha256()
        try:
            with path.open("wb") as file:
                for chunk in found["Body"].iter_chunks(2**20):
                    file.write(chunk)
                    digest.update(chunk)
        except FlexibleChecksumError as error:
            raise _Damaged(str(error)) from None
        if found["Metadata"].get("sha256") not in (None, digest.hexdigest()):
            raise _Damaged("the SHA-256 differs from the stored one")

    # Writing

    def _publish(self, written: tuple[str, str | None, Path]) -> str:
        """Replace a version of a key by the written file. Returns the new version."""
        key, version, path = written
        digest = digest_of(path)
        if version is not None and (same := self._holds(key, digest)):
            return same
        try:
            return self._upload(key, path, digest, _condition(version))
        except Changed:
            # Either another writer was faster, or a response was lost and this is our own object.
            if same := self._holds(key, digest):
                return same
        raise Conflict(
            f"{self.uri(key)} was replaced by another run while this one wrote it: run it again"
        )

    def _holds(self, key: str, digest: str) -> str | None:
        """The version of a key if its content has this SHA-256, else None."""
        try:
            found = self._write(key, "head_object")
        except Changed:
            return None
        return found["ETag"].strip('"') if found["Metadata"].get("sha256") == digest else None

    def _write(self, key: str, request: str, **arguments: Any) -> dict[str, Any]:
        """One of the requests of which a write consists."""
        return self._bucket.ask(
            "write", self.uri(key), request, Key=self._folder + key, **arguments
        )

    def _replace(self, doing: str, key: str, request: str, **arguments: Any) -> dict[str, Any]:
        """The request that replaces or removes an object. Each attempt asks the fence first."""

        def attempt() -> dict[str, Any]:
            self.fence()
            return self._bucket.once(request, Key=self._folder + key, **arguments)

        return self._bucket.patiently(doing, self.uri(key), attempt)

    def _upload(self, key: str, path: Path, digest: str, condition: Mapping[str, str]) -> str:
        described = {
            "ContentType": mimetypes.guess_type(key)[0] or "application/octet-stream",
            "ChecksumAlgorithm": "SHA256",
            "Metadata": {"sha256": digest},
        }
        if path.stat().st_size > _PART_BYTES:
            return self._upload_parts(key, path, described, condition)
        content = path.read_bytes()
        done = self._replace("write", key, "put_object", Body=content, **described, **condition)
        return done["ETag"].strip('"')

    def _upload_parts(
        self, key: str, path: Path, described: Mapping[str, Any], condition: Mapping[str, str]
    ) -> str:
        self._abort_abandoned(key)
        size = path.stat().st_size
        length = max(_PART_BYTES, math.ceil(size / _MAX_PARTS))
        upload = self._write(key, "create_multipart_upload", **described)["UploadId"]

        def send(number: int) -> dict[str, Any]:
            with path.open("rb") as file:
                file.seek((number - 1) * length)
                part = {"UploadId": upload, "PartNumber": number, "Body": file.read(length)}
            done = self._write(key, "upload_part", ChecksumAlgorithm="SHA256", **part)
            sums: dict[str, Any] = {
                name: done[name] for name in ("ETag", "ChecksumSHA256") if name in done
            }
            return {"PartNumber": number, **sums}

        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                parts = list(pool.map(send, range(1, math.ceil(size / length) + 1)))
            all_parts: dict[str, Any] = {"UploadId": upload, "MultipartUpload": {"Parts": parts}}
            done = self._replace(
                "write", key, "complete_multipart_upload", **all_parts, **condition
            )
        except BaseException:
            self._abort(key, upload)
            raise
        return done["ETag"].strip('"')

    def _abort_abandoned(self, key: str) -> None:
        """Remove parts that killed writers of this key left: they are invisible, but cost money."""
        try:
            known = self._bucket.ask(
                "list", self.uri(key), "list_multipart_uploads", Prefix=self._folder + key
            )
        except (StorageError, Changed) as error:
            # A writer may lack the permission to list uploads.
            _log.warning("the leftover parts of killed uploads stay: %s", error)
            return
        for found in known.get("Uploads", []):
            if time.time() - found["Initiated"].timestamp() > _ABANDONED_SECONDS:
                self._abort(key, found["UploadId"])

    def _abort(self, key: str, upload: str) -> None:
        try:
            self._write(key, "abort_multipart_upload", UploadId=upload)
        except (StorageError, Changed) as error:
            _log.warning("cannot remove the parts of an upload to %s: %s", self.uri(key), error)

    # Names and copies

    def _name(self, key: str) -> str:
        """A key without the prefix of the location."""
        return key.removeprefix(self._folder)

    def _place(self, key: str, version: str) -> Path:
        """Path of the local copy of a version: endpoint, bucket, key and ETag."""
        server = hashlib.sha256(self._bucket.endpoint.encode()).hexdigest()[:8]
        folder = self._cache / f"{self._location.bucket}-{server}" / self._folder / key
        return folder / f"{quote(version, safe='')}-{Path(key).name}"


def _condition(version: str | None) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if version is None else {"IfMatch": f'"{version}"'}


def _in_turn(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    return [function(item) for item in items]


def _forget_others(current: Path) -> None:
    """Remove copies of other versions that have not been used for a day."""
    others = set(current.parent.glob("[!.]*")) - {current}
    for other in unused(filter(Path.is_file, others), _UNUSED_SECONDS):
        other.unlink(missing_ok=True)


def _kept(copy: Path) -> bool:
    """Whether a copy exists; its time is renewed, so that copies in use are kept."""
    try:
        os.utime(copy)
    except FileNotFoundError:
        return False
    return True
