"""Deploys one service: what the workflows call, and what works by hand just as well.

    PYTHONPATH=.github/scripts python -m deploy --help

Needs Python 3.11 and requirements/deploy.txt, and none of cpsite. What it asks of AWS is what
terraform/modules/delivery allows.
"""
