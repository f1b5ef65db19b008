"""Neither service's process loads the other's code, nor what only the other one needs."""

import re

from tests import factories
from tests.end_to_end.conftest import Process, Services
from tests.waiting import wait_for

#: Makes Python print each import to standard error. `-X importtime` would leave out what Django
#: imports by name, which is each of its apps.
PRINT_IMPORTS = {"PYTHONVERBOSE": "1"}
#: What serves pages and requests, which the uploader does without.
OF_HTTP = {"axes", "drf_spectacular", "gunicorn", "rest_framework", "whitenoise"}


def imported(process: Process) -> set[str]:
    """Return the modules that a process and its children have imported so far."""
    return set(re.findall(r"^import '([\w.]+)' #", process.log.read_text(), re.MULTILINE))


def packages(process: Process) -> set[str]:
    return {module.partition(".")[0] for module in imported(process)}


def test_the_validator_loads_nothing_of_the_uploader(services: Services) -> None:
    process = services.validator(**PRINT_IMPORTS)
    assert services.post(factories.fields())[0] == 202
    for path in ("/", "/admin/login/", "/docs/", "/schema/"):
        assert services.get(path)[0] == 200

    assert {"cpsite.dead_letters.admin", "validator.views"} <= imported(process)
    assert "uploader" not in packages(process)


def test_the_uploader_loads_nothing_of_the_validator(services: Services) -> None:
    services.queue.send("no message of ours")
    process = services.uploader("--drain", **PRINT_IMPORTS)
    wait_for(lambda: process.popen.poll() is not None, "the queue to be drained")

    assert {"cpsite.audit.recorder", "uploader.worker"} <= imported(process)
    assert not packages(process) & {"validator", *OF_HTTP}
    assert "cpsite.web" not in imported(process)
