"""The queue's settings for deliveries."""

import json
import math
from dataclasses import dataclass

from uploader.storage import longest_write_seconds


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """The queue's settings for deliveries. Without a redrive policy `max_receive_count` is None."""

    visibility_timeout_seconds: int
    max_receive_count: int | None

    @classmethod
    def read(cls, attributes: dict[str, str]) -> "QueueAttributes":
        """Return the settings in an answer of GetQueueAttributes."""
        policy = json.loads(attributes.get("RedrivePolicy") or "{}")
        count = policy.get("maxReceiveCount")
        return cls(int(attributes["VisibilityTimeout"]), None if count is None else int(count))

    @property
    def hidden_seconds(self) -> int:
        """For how long to hide what is received: longer than one write may take."""
        return max(self.visibility_timeout_seconds, math.ceil(longest_write_seconds()) + 1)
