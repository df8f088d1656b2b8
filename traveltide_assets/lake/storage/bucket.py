"""Requests to a bucket. They are tried again while S3 is away or busy, and at no other error.

All requests share the clock of an outage: what has waited long enough once is not waited for again
by the next request, until S3 has answered one. Errors say what to set or allow.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as Unreachable
from botocore.parsers import ResponseParserError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.lake.config import Config
from traveltide_assets.lake.storage.base import Away, Refused, StorageError

_CHANGED = {
    "404",
    "412",
    "PreconditionFailed",
    "ConditionalRequestConflict",
    "NoSuchKey",
    "NoSuchUpload",
}
_BUSY = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"}
_BUSY_STATUS = {408, 429, 500, 502, 503, 504}
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
# What S3 says in every answer to a request. Whatever answers without it, such as the login page of
# a network, is not S3.
_PROOF = {
    "list_objects_v2": "IsTruncated",
    "get_object": "ETag",
    "head_object": "ETag",
    "put_object": "ETag",
    "create_multipart_upload": "UploadId",
    "upload_part": "ETag",
    "complete_multipart_upload": "ETag",
}
# TLS errors that come from a wrong setting; others come from a server that goes away.
_WRONG_TLS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "record layer failure")
_LONGEST_PAUSE = 5
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Changed(Exception):
    """The object or upload that a request names is not, or no longer, as the request says."""


class _NotS3(Exception):
    """Something that is not S3 answered."""


class Bucket:
    """The bucket of a location.

    boto3 finds endpoint, region and credentials on the machine that transfers the bytes. `setting`
    is the setting that the location comes from, for messages.
    """

    def __init__(self, location: S3Location, setting: str, config: Config) -> None:
        self._location = location
        self._setting = setting
        self._config = config
        self._away_since: float | None = None
        self._answered = False

    def __getstate__(self) -> dict[str, Any]:
        """The state without the client: each process creates its own, with its own credentials."""
        state = {name: value for name, value in vars(self).items() if name != "client"}
        return state | {"_away_since": None, "_answered": False}

    @cached_property
    def client(self) -> Any:
        """The boto3 client, which makes each request once."""
        # boto3 reads only AWS_DEFAULT_REGION.
        region = os.environ.get("AWS_REGION") or None
        once = ClientConfig(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=self._config.timeout_seconds,
            read_timeout=self._config.timeout_seconds,
        )
        try:
            return boto3.session.Session().client("s3", region_name=region, config=once)
        except (BotoCoreError, ValueError) as error:
            raise Refused(
                f"cannot open {self._location}: {error}. Check AWS_ENDPOINT_URL (written as "
                "http://host:port or https://…), AWS_REGION and AWS_PROFILE"
            ) from None

    @property
    def endpoint(self) -> str:
        return str(self.client.meta.endpoint_url)

    def ask(self, doing: str, place: str, request: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request, tried again while S3 is away.

        `doing` is `list`, `read`, `write` or `remove`, and `place` a URI, for messages. Raises
        `Changed`, `Refused` or `Away`.
        """
        return self.patiently(doing, place, lambda: self.once(request, **arguments))

    def once(self, request: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request that is made once."""
        arguments = {"Bucket": self._location.bucket, **arguments}
        answer: dict[str, Any] = getattr(self.client, request)(**arguments)
        if request in _PROOF and _PROOF[request] not in answer:
            raise _NotS3
        return answer

    def patiently(self, doing: str, place: str, action: Callable[[], _Result]) -> _Result:
        """The result of an action that makes requests. All of it is repeated while S3 is away."""
        began: list[float] = []

        def is_over(_: RetryCallState) -> bool:
            now = time.monotonic()
            began.append(now)
            if self._away_since is None:
                self._away_since = now
            # Another request may succeed meanwhile, and this one never.
            return now - min(self._away_since, began[0]) >= self._config.retry_seconds

        def warn(state: RetryCallState) -> None:
            if len(began) == 1 and state.outcome is not None:
                error = state.outcome.exception()
                seconds = self._config.retry_seconds
                _log.warning(
                    "cannot %s %s: %s. Trying for up to %d s", doing, place, error, seconds
                )

        patiently = Retrying(
            retry=retry_if_exception(self._may_pass),
            stop=is_over,
            # Random waits, so that many readers do not retry at the same time.
            wait=wait_random_exponential(multiplier=0.1, max=_LONGEST_PAUSE),
            before_sleep=warn,
            reraise=True,
        )
        try:
            result = patiently(action)
        except (BotoCoreError, ClientError, ResponseParserError, _NotS3) as error:
            if not self._may_pass(error):
                self._away_since = None
            if isinstance(error, ClientError) and _code(error) in _CHANGED:
                raise Changed(_code(error)) from None
            # `from None`: the message contains the cause, and users see the root of a chain.
            raise self._explained(error, doing, place) from None
        self._away_since, self._answered = None, True
        return result

    def _may_pass(self, error: BaseException) -> bool:
        """Whether S3 is away or busy. Any other error would come again."""
        if isinstance(error, ClientError):
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return (_code(error) in _BUSY or status in _BUSY_STATUS) and not _is_page(error)
        if isinstance(error, SSLError):
            return not any(words in str(error) for words in _WRONG_TLS)
        if isinstance(error, EndpointConnectionError) and _is_unknown_host(error):
            # A name that was known before is that of a server that is being replaced.
            return self._answered
        return isinstance(
            error, Unreachable | HTTPClientError | IncompleteReadError | CredentialRetrievalError
        )

    def _explained(self, error: Exception, doing: str, place: str) -> StorageError:
        said = f"cannot {doing} {place}: "
        check = f"Check AWS_ENDPOINT_URL (now {self.endpoint})"
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return Refused(
                f"{said}{error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        if isinstance(error, _NotS3 | ResponseParserError) or _is_page(error):
            return Refused(f"{said}what answered is not S3. {check} and whether a proxy is between")
        if isinstance(error, ClientError):
            advice = self._advice(error, doing)
            if advice is not None:
                return Refused(said + advice)
            words = error.response["Error"].get("Message", "")
            reason = f"S3 answered {_code(error)}: {words}".rstrip(": ")
        else:
            reason = str(error)
        if not self._may_pass(error):
            return Refused(f"{said}{reason}. {check} and {self._setting}")
        return Away(
            f"{said}{reason}. S3 was tried for {self._config.retry_seconds} s (s3.retry_seconds; "
            f"an answer may take {self._config.timeout_seconds} s, s3.timeout_seconds). {check} "
            "and the network"
        )

    def _advice(self, error: ClientError, doing: str) -> str | None:
        """What to set or allow; None if S3 itself is at fault."""
        code, status = _code(error), error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code == "NoSuchBucket":
            return (
                f"there is no bucket {self._location.bucket} at {self.endpoint}. "
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


def _is_page(error: Exception) -> bool:
    """Whether a page for people was the answer. botocore gives one that is no XML the status 500.

    A proxy that finds S3 away answers by a page, too, but with another status.
    """
    if not isinstance(error, ClientError):
        return False
    answer = error.response["ResponseMetadata"]
    kind = answer["HTTPHeaders"].get("content-type", "")
    return answer["HTTPStatusCode"] == 500 and kind.startswith("text/html")


def _is_unknown_host(error: EndpointConnectionError) -> bool:
    cause: BaseException | None = error.kwargs.get("error")
    while cause is not None and not isinstance(cause, socket.gaierror):
        cause = cause.__cause__ or cause.__context__
    return cause is not None and cause.errno == socket.EAI_NONAME


def _code(error: ClientError) -> str:
    details: Mapping[str, str] = error.response["Error"]
    return details["Code"]
