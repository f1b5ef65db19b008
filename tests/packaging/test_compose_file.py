"""compose.yaml: as in production, on one machine, and open to that machine alone."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MONITORING = ROOT / "terraform" / "modules" / "monitoring"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_address_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"postgres"}))
def test_a_container_can_neither_write_nor_become_more(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_monitoring_has_the_images_that_terraform_deploys() -> None:
    variables = (MONITORING / "variables.tf").read_text()
    deployed = dict(re.findall(r'(\w+)\s*= optional\(string, "(\S+)"\)', variables))

    for name in ("prometheus", "alertmanager", "grafana"):
        assert SERVICES[name]["image"] == deployed[name]


def test_the_database_has_the_version_that_terraform_deploys() -> None:
    variables = (ROOT / "terraform" / "modules" / "database" / "variables.tf").read_text()
    (version,) = re.findall(r'engine_version".*?default\s*= "(\d+)"', variables, re.DOTALL)

    assert SERVICES["postgres"]["image"].startswith(f"docker.io/library/postgres:{version}-")


def test_what_starts_waits_for_what_it_needs() -> None:
    once = {name for name in SERVICES if name.startswith("prepare-")} | {"migrate"}
    waited_for = {
        (other, wait["condition"])
        for service in SERVICES.values()
        for other, wait in service.get("depends_on", {}).items()
    }

    # `docker compose up --wait` takes an ended container for a failure unless another waits for it.
    assert {(name, "service_completed_successfully") for name in once} <= waited_for
    assert {name for name, wait in waited_for if wait == "service_healthy"} == {"postgres", "aws"}


def test_every_volume_is_declared() -> None:
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }

    assert used == set(COMPOSE["volumes"])


def test_every_file_that_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (ROOT / volume.partition(":")[0]).exists(), volume


# --- The monitoring's configuration ---------------------------------------------------------------


def script() -> Any:
    spec = importlib.util.spec_from_file_location("monitoring", ROOT / "compose" / "monitoring.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def values() -> list[str]:
    """Return the values that compose.yaml gives."""
    return [part for part in SERVICES["prepare-monitoring"]["command"] if "=" in part]


def laid_out(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): path.read_text()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_it_lays_out_the_files_that_terraform_does(tmp_path: Path) -> None:
    config = (MONITORING / "config.tf").read_text()
    named = set(re.findall(r'^\s*"((?:prometheus|grafana)/[^"$]+)"\s*=', config, re.MULTILINE))
    dashboards = {
        f"grafana/dashboards/{path.name}"
        for path in (MONITORING / "files" / "dashboards").glob("*.json")
    }

    assert script().main([str(tmp_path), *values()]) == 0

    assert set(laid_out(tmp_path)) == named | dashboards
    assert len(named) == 5
    assert dashboards


def test_what_it_lays_out_has_the_services_of_compose(tmp_path: Path) -> None:
    script().main([str(tmp_path), *values()])
    files = laid_out(tmp_path)
    jobs = {
        job["job_name"]: job
        for job in yaml.safe_load(files["prometheus/prometheus.yml"])["scrape_configs"]
    }

    for name in ("validator", "uploader"):
        (found,) = jobs[name]["dns_sd_configs"]
        assert found["names"] == SERVICES[name]["networks"]["default"]["aliases"]
        port = SERVICES[name]["environment"][f"{name.upper()}_METRICS_PORT"]
        assert str(found["port"]) == port
    (source,) = yaml.safe_load(files["grafana/provisioning/datasources/prometheus.yml"])[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    alertmanager = yaml.safe_load(files["prometheus/alertmanager.yml"])
    assert all(set(receiver) == {"name"} for receiver in alertmanager["receivers"])


def test_a_second_run_replaces_what_the_first_has_left(tmp_path: Path) -> None:
    script().main([str(tmp_path), *values()])
    first = laid_out(tmp_path)
    (tmp_path / "grafana" / "dashboards" / "old.json").write_text("{}")

    script().main([str(tmp_path), *values()])

    assert laid_out(tmp_path) == first


def test_a_placeholder_without_a_value_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [value for value in values() if not value.startswith("namespace=")]

    assert script().main([str(tmp_path), *given]) == 1

    assert capsys.readouterr().err == "compose.yaml gives no value for ${namespace}.\n"
