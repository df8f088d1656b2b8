"""Storage in S3: boto3 transfers whole objects, and all other code works on local copies.

An object appears in one step, when its upload is complete, and only if the key still has the
version that the writer knew (a conditional request). Its SHA-256 is stored with it and verified by
every reader. Local copies of objects are kept by ETag.
"""

from __future__ import annotations

import hashlib
import logging
import math
import mimetypes
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as Unreachable
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
from traveltide_assets.lake.storage.base import Conflict, Entry, Refused, Replaced, StorageError
from traveltide_assets.lake.storage.folder import partial, replacing

_ATTEMPTS = 6
_THREADS = 8
_PART_BYTES = 16 * 2**20
_MAX_PARTS = 10_000
_ABANDONED_SECONDS = 24 * 3600
_UNUSED_SECONDS = 24 * 3600
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "NoSuchUpload", "412"}
_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed"}
_ACTIONS = {
    "list": "s3:ListBucket",
    "read": "s3:GetObject",
    "write": "s3:PutObject",
    "remove": "s3:DeleteObject",
}
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class _OtherContent(Exception):
    """The downloaded content differs from the stored content."""


_NOT_WHOLE = (_OtherContent, FlexibleChecksumError, HTTPClientError, IncompleteReadError)


class S3:
    """Objects under a prefix of a bucket. A key follows the prefix; a version is an ETag.

    boto3 finds endpoint, region and credentials on the machine that transfers the bytes. `setting`
    is the setting that the location comes from, for messages.
    """

    def __init__(self, location: S3Location, cache: Path, setting: str) -> None:
        self._location = location
        self._folder = f"{location.prefix}/" if location.prefix else ""
        self._cache = cache.resolve()
        self._setting = setting

    def __getstate__(self) -> dict[str, Any]:
        """The state without the client: each process creates its own, with its own credentials."""
        return {name: value for name, value in vars(self).items() if name != "client"}

    @cached_property
    def client(self) -> Any:
        """The boto3 client. It retries throttled and failed requests with backoff."""
        # boto3 reads only AWS_DEFAULT_REGION.
        region = os.environ.get("AWS_REGION") or None
        retries = Config(retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"})
        return boto3.session.Session().client("s3", region_name=region, config=retries)

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
        with self._explained("list", folder):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._location.bucket, Prefix=prefix, **({} if deep else {"Delimiter": "/"})
            )
            return list(pages)

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
        with self._explained("remove", key):
            self.client.delete_object(**self._object(key))

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
        with self._explained("read", key), replacing(copy) as path:
            self._download(key, version, path)
        _forget_others(copy)

    def _download(self, key: str, version: str, path: Path) -> None:
        def warn(state: RetryCallState) -> None:
            problem = state.outcome.exception() if state.outcome else None
            _log.warning("%s was not downloaded completely: %s", self.uri(key), problem)

        patiently = Retrying(
            retry=retry_if_exception_type(_NOT_WHOLE),
            stop=stop_after_attempt(_ATTEMPTS),
            # Random waits, so that many readers do not retry at the same time.
            wait=wait_random_exponential(multiplier=0.1),
            before_sleep=warn,
            reraise=True,
        )
        try:
            patiently(self._receive, key, version, path)
        except _NOT_WHOLE as error:
            raise StorageError(
                f"{self.uri(key)} was not downloaded completely in {_ATTEMPTS} attempts: {error}. "
                "If the object itself is damaged, materialize it again"
            ) from None
        except ClientError as error:
            if _code(error) in _CHANGED:
                raise Replaced(
                    f"{self.uri(key)} was replaced while it was read: run this again"
                ) from None
            raise

    def _receive(self, key: str, version: str, path: Path) -> None:
        """Download an object; `_OtherContent` if its SHA-256 is not the stored one."""
        found = self.client.get_object(
            **self._object(key), IfMatch=f'"{version}"', ChecksumMode="ENABLED"
        )
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in found["Body"].iter_chunks(2**20):
                file.write(chunk)
                digest.update(chunk)
        if found["Metadata"].get("sha256") not in (None, digest.hexdigest()):
            raise _OtherContent("the SHA-256 differs from the stored one")

    # Writing

    def _publish(self, written: tuple[str, str | None, Path]) -> str:
        """Replace a version of a key by the written file. Returns the new version."""
        key, version, path = written
        with self._explained("write", key):
            return self._replace(key, version, path)

    def _replace(self, key: str, version: str | None, path: Path) -> str:
        digest = digest_of(path)
        if version is not None and (same := self._holds(key, digest)):
            return same
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": f'"{version}"'}
        try:
            return self._upload(key, path, digest, condition)
        except ClientError as error:
            if _code(error) not in _CHANGED:
                raise
        # Either another writer was faster, or a response was lost and this is our first attempt.
        if same := self._holds(key, digest):
            return same
        raise Conflict(
            f"{self.uri(key)} was replaced by another run while this one wrote it: run it again"
        )

    def _holds(self, key: str, digest: str) -> str | None:
        """The version of a key if its content has this SHA-256, else None."""
        try:
            found = self.client.head_object(**self._object(key))
        except ClientError as error:
            if _code(error) == "404":
                return None
            raise
        return found["ETag"].strip('"') if found["Metadata"].get("sha256") == digest else None

    def _upload(self, key: str, path: Path, digest: str, condition: Mapping[str, str]) -> str:
        described = {
            "ContentType": mimetypes.guess_type(key)[0] or "application/octet-stream",
            "ChecksumAlgorithm": "SHA256",
            "Metadata": {"sha256": digest},
        }
        if path.stat().st_size > _PART_BYTES:
            return self._upload_parts(key, path, described, condition)
        with path.open("rb") as file:
            done = self.client.put_object(**self._object(key), Body=file, **described, **condition)
        return done["ETag"].strip('"')

    def _upload_parts(
        self, key: str, path: Path, described: Mapping[str, Any], condition: Mapping[str, str]
    ) -> str:
        self._abort_abandoned(key)
        size = path.stat().st_size
        length = max(_PART_BYTES, math.ceil(size / _MAX_PARTS))
        started = self.client.create_multipart_upload(**self._object(key), **described)
        upload = {**self._object(key), "UploadId": started["UploadId"]}

        def send(number: int) -> dict[str, Any]:
            with path.open("rb") as file:
                file.seek((number - 1) * length)
                done = self.client.upload_part(
                    **upload, PartNumber=number, Body=file.read(length), ChecksumAlgorithm="SHA256"
                )
            sums = {name: done[name] for name in ("ETag", "ChecksumSHA256") if name in done}
            return {"PartNumber": number, **sums}

        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                parts = list(pool.map(send, range(1, math.ceil(size / length) + 1)))
            done = self.client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, **condition
            )
        except BaseException:
            self._abort(upload)
            raise
        return done["ETag"].strip('"')

    def _abort_abandoned(self, key: str) -> None:
        """Remove parts that killed writers of this key left: they are invisible, but cost money."""
        try:
            known = self.client.list_multipart_uploads(
                Bucket=self._location.bucket, Prefix=self._folder + key
            )
        except ClientError as error:
            # A writer may lack the permission to list uploads.
            _log.warning(
                "%s: cannot list the leftover parts of killed uploads: %s",
                self.uri(key),
                _code(error),
            )
            return
        for found in known.get("Uploads", []):
            if time.time() - found["Initiated"].timestamp() > _ABANDONED_SECONDS:
                self._abort({**self._object(key), "UploadId": found["UploadId"]})

    def _abort(self, upload: Mapping[str, str]) -> None:
        try:
            self.client.abort_multipart_upload(**upload)
        except (ClientError, BotoCoreError) as error:
            _log.warning("cannot remove the parts of an upload to %s: %s", upload["Key"], error)

    # Names and copies

    def _name(self, key: str) -> str:
        """A key without the prefix of the location."""
        return key.removeprefix(self._folder)

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._location.bucket, "Key": self._folder + key}

    def _place(self, key: str, version: str) -> Path:
        """Path of the local copy of a version: endpoint, bucket, key and ETag."""
        server = hashlib.sha256(self.client.meta.endpoint_url.encode()).hexdigest()[:8]
        folder = self._cache / f"{self._location.bucket}-{server}" / self._folder / key
        return folder / f"{quote(version, safe='')}-{Path(key).name}"

    @contextmanager
    def _explained(self, doing: str, key: str) -> Iterator[None]:
        """Turn errors of boto3 into messages that say what to set or allow.

        Errors are raised `from None`: the message contains the cause, and users are shown the root
        of a chain.
        """
        place = self.uri(key)
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise Refused(
                f"cannot {doing} {place}: {error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                ", or AWS_PROFILE"
            ) from None
        except (Unreachable, HTTPClientError) as error:
            raise StorageError(
                f"cannot {doing} {place}: {error}. Check AWS_ENDPOINT_URL (now "
                f"{self.client.meta.endpoint_url}) and the network"
            ) from None
        except ClientError as error:
            advice = self._advice(error, doing)
            if advice is not None:
                raise Refused(f"cannot {doing} {place}: {advice}") from None
            answer = f"S3 answered {_code(error)}: {error.response['Error'].get('Message', '')}"
            raise StorageError(f"cannot {doing} {place}: {answer}") from None
        except BotoCoreError as error:
            raise StorageError(f"cannot {doing} {place}: {error}") from None

    def _advice(self, error: ClientError, doing: str) -> str | None:
        """What to set or allow; None if S3 itself is at fault."""
        code, status = _code(error), error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code == "NoSuchBucket":
            return (
                f"there is no bucket {self._location.bucket} at {self.client.meta.endpoint_url}. "
                f"Create it, or set {self._setting} (or AWS_ENDPOINT_URL)"
            )
        if code in _CREDENTIALS:
            return (
                f"the credentials were rejected ({code}). Check AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or AWS_PROFILE"
            )
        if code in _REGION or status == 301:
            return f"the bucket is in another region ({code}). Set AWS_REGION"
        if status == 403:
            return (
                f"access is denied. Allow these credentials {_ACTIONS[doing]} there, or set "
                f"{self._setting} or AWS_… to others"
            )
        return None


def _in_turn(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    return [function(item) for item in items]


def _forget_others(current: Path) -> None:
    """Remove copies of other versions that have not been used for a day."""
    for copy in set(current.parent.glob("[!.]*")) - {current}:
        if copy.is_file() and time.time() - copy.stat().st_mtime > _UNUSED_SECONDS:
            copy.unlink(missing_ok=True)


def _kept(copy: Path) -> bool:
    """Whether a copy exists; its time is renewed, so that copies in use are kept."""
    try:
        os.utime(copy)
    except FileNotFoundError:
        return False
    return True


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]
