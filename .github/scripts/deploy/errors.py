"""What ends a deployment."""


class DeployError(Exception):
    """A step has failed. The text says of what, and what to do, to whoever reads the job's log."""
