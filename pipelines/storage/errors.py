"""What went wrong with storage, in one line for a person."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

# Botocore's and s3fs's exceptions by name: importing them takes as long as a whole `--help`.
_ADVICE = {
    "NoCredentialsError": "there are no AWS credentials; set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "PartialCredentialsError": "the AWS credentials are incomplete; set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "ProfileNotFound": "there is no such AWS profile; set AWS_PROFILE to one that is configured",
    "EndpointConnectionError": "the object store does not answer; check AWS_ENDPOINT_URL and the "
    "network",
    "ConnectError": "the host does not answer; check the network",
    "ConnectTimeoutError": "the object store does not answer; check AWS_ENDPOINT_URL and the "
    "network",
    "ReadTimeoutError": "the object store is too slow to answer",
    "PermissionError": "access is denied; check that the credentials have not expired and may "
    "read and write there",
}
_AZURE = (
    "Azure's storage does not answer, or refuses the request; check the credentials "
    "(AZURE_TENANT_ID and the others of its login), the container and the network"
)
_CODES = {  # as they stand in messages: S3's own, and signs of other stores
    "ExpiredToken": "the AWS credentials have expired; renew them",
    "InvalidAccessKeyId": "the object store does not know the AWS credentials; check them",
    # All that a HEAD request tells where a token has expired, or the region is another.
    "Bad Request": "the object store refuses the request; check that the credentials have not "
    "expired, and AWS_DEFAULT_REGION",
    "SignatureDoesNotMatch": "the AWS secret key is wrong; check AWS_SECRET_ACCESS_KEY",
    "NoSuchBucket": "the bucket does not exist; make it first",
    "bucket does not exist": "the bucket does not exist; make it first",
    "SlowDown": "the object store is overloaded, after all retries",
    "reduce your request rate": "the object store is overloaded, after all retries",
    "ServiceUnavailable": "the object store is not available, after all retries",
    "InternalError": "the object store failed, after all retries",
    # Whatever else these stores say, in pages of their clients' words.
    "google::cloud::": "Google Cloud Storage does not answer, or refuses the request; check the "
    "credentials (GOOGLE_APPLICATION_CREDENTIALS), the bucket and the network",
    "Azure::": _AZURE,
    "Azure Error": _AZURE,
}
_ERRNOS = {  # {}: the root, or another path that a config or an environment names
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the disk is read-only; set another {}",
    errno.EACCES: "this user may not write there; set another {}, or change its permissions",
    errno.EPERM: "the system lets nobody write there; set another {}",
    errno.ENAMETOOLONG: "its path is too long; set another {}",
    errno.ELOOP: "its path goes round in links; set another {}",
    errno.ENOTDIR: "a part of the path is a file; set another {}",
    errno.EEXIST: "a part of the path is a file or a link to nowhere; set another {}",
}


def explain(error: BaseException, what: str = "root") -> str | None:
    """What to do about a failure of storage; None where it was something else.

    what: it is that failed, where another one would help.
    """
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _ERRNOS:
            return _ERRNOS[cause.errno].format(what)
        for code, advice in _CODES.items():
            if _is_of_storage(cause) and code in str(cause):
                return advice
        for name in (one.__name__ for one in type(cause).__mro__):
            if name in _ADVICE:
                return _ADVICE[name]
    return None


def place(error: BaseException, root: str) -> str:
    """Where storage failed: the root, unless the system names a file that is not of its path."""
    for cause in causes(error):
        name = getattr(cause, "filename", None)
        told = isinstance(cause, OSError) and cause.errno in _ERRNOS
        if isinstance(cause, OSError) and "\n" in str(name):
            continue  # Ray Data appends its advice to an error's arguments, which end in a name
        if told and isinstance(name, str | os.PathLike):
            file, own = _real(name), _real(root.removeprefix("file://"))
            return root if file.is_relative_to(own) or own.is_relative_to(file) else str(name)
    return root


def _real(name: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(os.path.expanduser(name)))


def reason(error: BaseException) -> str:
    """Of a failure with no advice of its own, in a few words."""
    return getattr(error, "strerror", None) or type(error).__name__


def _is_of_storage(error: BaseException) -> bool:
    of_arrow = type(error).__name__ == "ArrowException"  # not its ArrowInvalid, of bad files
    return isinstance(error, OSError) or of_arrow or type(error).__module__.startswith("botocore")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it; Ray hands on a task's own as `cause`."""
    while error is not None:
        yield error
        hidden = error.__suppress_context__
        error = (
            getattr(error, "cause", None)
            or error.__cause__
            or (None if hidden else error.__context__)
        )
