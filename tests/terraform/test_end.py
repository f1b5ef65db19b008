"""How an environment ends."""

from tests.terraform.conftest import ROOT, Infrastructure


def test_prod_can_be_destroyed_with_a_snapshot(infrastructure: Infrastructure) -> None:
    """Deletion protection and the snapshot are two switches: lifting one leaves the other."""
    (database,) = infrastructure.of_type("aws_db_instance").values()
    disposable = infrastructure.environment == "dev"

    assert database["deletion_protection"] is not disposable
    assert database["skip_final_snapshot"] is disposable
    text = (ROOT / "terraform" / "storage.tf").read_text()
    assert "enable_deletion_protection = !var.is_disposable" in text
    assert "enable_final_snapshot      = var.enable_database_final_snapshot" in text
