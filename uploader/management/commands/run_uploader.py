"""`manage.py run_uploader`: runs the uploader."""

import logging
import os
from typing import Any

from botocore.exceptions import BotoCoreError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

import cpsite
from cpsite import checks
from cpsite.audit.recorder import recorder
from cpsite.cli import positive, stopped_by_signals
from cpsite.observability import metrics, resource_limits
from cpsite.observability.queue_depth import DEAD_LETTERS, MESSAGES, QueueDepthSampler
from uploader import liveness, storage
from uploader.conflicts import ConflictFinder
from uploader.heartbeat import STUCK_SECONDS, Heartbeat
from uploader.layouts import Batcher
from uploader.queue_check import check_queue
from uploader.receiver import Receiver
from uploader.stop_deadline import StopDeadline
from uploader.storage import longest_write_seconds
from uploader.worker import Worker

logger = logging.getLogger(__name__)

BANNER = """
 -------------- cpsite uploader {version}
 -- [config]
 .> queue:        {queue}
 .> storage:      {storage}
 .> layout:       {layout}
 .> concurrency:  {concurrency} threads
 .> stops:        {stops}
 .> metrics:      http://{metrics_host}:{metrics_port}/metrics
 .> endpoint:     {endpoint}
"""


class Command(BaseCommand):
    help = (
        "Move accepted messages from SQS to S3. A message leaves the queue only when S3 has it. "
        "SIGTERM or Ctrl-C finishes running uploads and returns the rest to the queue. A second "
        "one quits at once, and SQS delivers messages in flight again after their visibility "
        "timeout. Exit status: 0 when stopped, drained or at --max-messages; 1 when the "
        "configuration, the queue's settings or the metrics port are unusable; 2 for an invalid "
        "option; 130 or 143 after a second signal."
    )
    # `require` runs the checks that the uploader needs; `manage.py check` runs all.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=positive,
            default=settings.UPLOADER_CONCURRENCY,
            metavar="N",
            help="objects written at a time (default: UPLOADER_CONCURRENCY, now %(default)s)",
        )
        parser.add_argument(
            "--layout",
            choices=["object", "batch"],
            default=settings.UPLOADER_LAYOUT,
            help="one object for each message, or many messages in one gzip-compressed NDJSON "
            "object (default: UPLOADER_LAYOUT, now %(default)s)",
        )
        parser.add_argument(
            "--receivers",
            type=positive,
            default=settings.UPLOADER_RECEIVERS,
            metavar="N",
            help="threads that receive; more than one helps when receiving is the bottleneck "
            "(default: UPLOADER_RECEIVERS, now %(default)s)",
        )
        parser.add_argument(
            "--max-messages",
            type=positive,
            metavar="N",
            help="stop after N deliveries, received by one thread (default: no limit)",
        )
        parser.add_argument(
            "--drain",
            action="store_true",
            help="stop when a receive is empty and nothing is in flight",
        )
        parser.add_argument(
            "--metrics-port",
            type=int,
            default=settings.UPLOADER_METRICS_PORT,
            metavar="PORT",
            help="port of /metrics, 0 for any free one (default: UPLOADER_METRICS_PORT, now "
            "%(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        checks.require(checks.UPLOADER)
        service = metrics.Service("uploader", resource_limits.find())
        try:
            server = metrics.serve(settings.METRICS_HOST, options["metrics_port"], service)
        except OSError as exc:
            raise CommandError(
                f"The metrics port {settings.METRICS_HOST}:{options['metrics_port']} cannot be "
                f"opened ({exc.strerror}). Set METRICS_HOST, UPLOADER_METRICS_PORT or "
                "--metrics-port."
            ) from exc
        self._print_banner(options, server.server_port)
        try:
            storage.warm_up()
        except (BotoCoreError, ImproperlyConfigured) as exc:
            raise CommandError(f"The storage cannot be used: {exc}") from exc
        # Several receivers would together exceed the limit: none knows what the others will get.
        count = 1 if options["max_messages"] else options["receivers"]
        receiver, *more = (Receiver(concurrency=options["concurrency"]) for _ in range(count))
        check_queue(receiver)
        worker = Worker(
            receiver=receiver,
            more_receivers=more,
            store=storage.store,
            heartbeat=Heartbeat(
                liveness.heartbeat_file(settings.UPLOADER_HEARTBEAT_FILE),
                # A write may take longer than STUCK_SECONDS.
                stuck_seconds=max(STUCK_SECONDS, 2 * longest_write_seconds()),
            ),
            concurrency=options["concurrency"],
            batcher=_batcher() if options["layout"] == "batch" else None,
            max_messages=options["max_messages"],
            drain=options["drain"],
        )
        sampler = QueueDepthSampler(_queues())
        sampler.start()
        conflicts = ConflictFinder()
        conflicts.start()
        deadline = StopDeadline(worker, seconds=settings.UPLOADER_STOP_SECONDS)
        deadline.start()
        try:
            with stopped_by_signals(
                lambda _number: worker.stop(),
                # Not SystemExit, which would wait for the threads. Nothing is lost: only stored
                # messages are deleted.
                again=lambda number: os._exit(128 + number),
                notice="uploader: finishing running uploads; a second signal quits at once",
            ):
                counts = worker.run()
        finally:
            sampler.stop()
            conflicts.stop()
            recorder.close()
            deadline.finished()
        logger.info("uploader_stopped", extra=counts.as_dict())

    def _print_banner(self, options: dict[str, Any], metrics_port: int) -> None:
        limit = options["max_messages"]
        stops = [f"after {limit} messages"] if limit else []
        stops += ["when the queue is empty"] if options["drain"] else []
        self.stdout.write(
            BANNER.format(
                version=cpsite.__version__,
                queue=settings.SQS_QUEUE_URL,
                storage=settings.MESSAGES_DIRECTORY
                or f"s3://{settings.S3_BUCKET}/{settings.S3_PREFIX}",
                layout=_LAYOUTS[options["layout"]],
                concurrency=options["concurrency"],
                stops=" or ".join(stops) or "on SIGTERM or Ctrl-C",
                metrics_host=settings.METRICS_HOST,
                metrics_port=metrics_port,
                endpoint=_endpoints(),
            )
        )
        self.stdout.flush()


def _endpoints() -> str:
    """Return the endpoints in the environment that boto3 uses instead of AWS's."""
    names = ("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    found = dict.fromkeys(os.environ[name] for name in names if os.environ.get(name))
    return ", ".join(found) or f"AWS, {settings.AWS_REGION}"


def _queues() -> dict[str, str]:
    """Return the URLs of the queues whose depths the metrics report, by name."""
    queues = {MESSAGES: settings.SQS_QUEUE_URL, DEAD_LETTERS: settings.SQS_DLQ_URL}
    return {name: url for name, url in queues.items() if url}


def _batcher() -> Batcher:
    return Batcher(
        max_messages=settings.UPLOADER_BATCH_MESSAGES,
        max_bytes=settings.UPLOADER_BATCH_BYTES,
        max_seconds=settings.UPLOADER_BATCH_SECONDS,
    )


_LAYOUTS = {
    "object": "one object a message",
    "batch": f"one object for up to {settings.UPLOADER_BATCH_MESSAGES} messages, "
    f"{settings.UPLOADER_BATCH_BYTES} bytes or {settings.UPLOADER_BATCH_SECONDS:g} s",
}
