"""What each error of the storage means for the message: wait, put it off, or refuse it.

A refusal must be about this object: it sends a good message to the dead-letter queue. So every
code that is not in the table is waited out, like a storage that does not answer at all. Sources are
AWS's S3 API reference ("List of error codes"), KMS's ("Common errors"), and what other stores
answer.
"""

from enum import Enum
from typing import Final

from botocore.exceptions import ClientError


class Action(Enum):
    """What to do with a message whose object was not stored."""

    #: The storage is at fault. The message stays in flight until the storage recovers. If others
    #: are stored meanwhile, it is delayed after TRIES attempts.
    WAIT = "wait out"
    #: The bucket, or only this object. As WAIT, but it is delayed as soon as another one is stored.
    PUT_OFF = "put off"
    #: This object will never be stored. The message is left to the dead-letter queue.
    REFUSE = "refuse"


#: Error codes, or the HTTP status of an answer without a code.
ACTIONS: Final = {
    # Too large for one PutObject, wherever it is written: this object's fault alone.
    "EntityTooLarge": Action.REFUSE,
    "MaxMessageLengthExceeded": Action.REFUSE,
    # Policies and limits: of the bucket, or of a prefix or size. An operator can mend either.
    "AccessDenied": Action.PUT_OFF,
    "AllAccessDisabled": Action.PUT_OFF,
    "InvalidArgument": Action.PUT_OFF,
    "InvalidRequest": Action.PUT_OFF,
    "InvalidTag": Action.PUT_OFF,
    "KeyTooLongError": Action.PUT_OFF,
    "MetadataTooLarge": Action.PUT_OFF,
    "MethodNotAllowed": Action.PUT_OFF,
    # Another write of this key is under way. It is over in a moment.
    "ConditionalRequestConflict": Action.WAIT,
    "OperationAborted": Action.WAIT,
    "409": Action.WAIT,
    # Damaged on the way.
    "BadDigest": Action.WAIT,
    "IncompleteBody": Action.WAIT,
    "InvalidDigest": Action.WAIT,
    "RequestTimeout": Action.WAIT,
    "XAmzContentChecksumMismatch": Action.WAIT,
    "XAmzContentSHA256Mismatch": Action.WAIT,
    # Credentials, clocks and keys: of all writes.
    "ExpiredToken": Action.WAIT,
    "InvalidAccessKeyId": Action.WAIT,
    "InvalidToken": Action.WAIT,
    "RequestTimeTooSkewed": Action.WAIT,
    "SignatureDoesNotMatch": Action.WAIT,
    "TokenRefreshRequired": Action.WAIT,
    "KMS.DisabledException": Action.WAIT,
    "KMS.InvalidStateException": Action.WAIT,
    "KMS.KMSInvalidStateException": Action.WAIT,
    "KMS.NotFoundException": Action.WAIT,
    "KMS.ThrottlingException": Action.WAIT,
    "KMS.UnrecognizedClientException": Action.WAIT,
    # The bucket: missing, elsewhere, suspended or full.
    "AccountProblem": Action.WAIT,
    "AuthorizationHeaderMalformed": Action.WAIT,
    "IllegalLocationConstraintException": Action.WAIT,
    "NoSuchBucket": Action.WAIT,
    "NotSignedUp": Action.WAIT,
    "PermanentRedirect": Action.WAIT,
    "QuotaExceeded": Action.WAIT,
    "XMinioStorageFull": Action.WAIT,
    "507": Action.WAIT,
    # Load and faults.
    "InternalError": Action.WAIT,
    "ServiceUnavailable": Action.WAIT,
    "SlowDown": Action.WAIT,
    "TooManyRequests": Action.WAIT,
    "429": Action.WAIT,
    # Without a code it was not S3 that answered, but a proxy before it.
    "400": Action.WAIT,
    "401": Action.WAIT,
    "403": Action.WAIT,
    "405": Action.WAIT,
    "413": Action.PUT_OFF,
}


def action(exc: Exception) -> Action:
    """Return what to do about an error of the storage."""
    if not isinstance(exc, ClientError):
        return Action.WAIT
    return ACTIONS.get(exc.response["Error"]["Code"], Action.WAIT)
