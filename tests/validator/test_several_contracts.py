"""Contracts beside the default one: each has its path, and its name follows its messages."""

import json
import re

import pytest
from django.core.management import CommandError, call_command
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator, FormatChecker

from cpsite import json_text
from cpsite.message import Message
from cpsite.web import bodies
from tests import factories
from uploader.object_keys import object_key
from validator import metrics, tokens
from validator.contracts import contracts
from validator.middleware import TransportMiddleware

pytestmark = [pytest.mark.usefixtures("every_kind"), pytest.mark.django_db]

PATH = "/messages/order_placed/"
ORDER = '{"order_id": "o-1", "customer": "c-1", "amount": 12.10}'
BROWSER = {"accept": "text/html"}


def post(client, path=PATH, data=ORDER, token=factories.ALICE, **headers):
    body = f'{{"data": {data}}}'
    headers |= {"authorization": f"Bearer {token}"}
    return client.post(path, body, content_type="application/json", headers=headers)


def published(queue):
    return [json.loads(body)["body"] for body in queue.bodies()]


@pytest.mark.parametrize("path", [PATH, PATH[:-1]])
def test_a_message_names_its_contract_wherever_it_goes(client, queue, audit, path):
    answer = post(client, path)
    assert answer.status_code == 202, answer.json()
    (body,) = published(queue)
    assert f'"client":"alice","contract":"order_placed","data":{ORDER}}}' in body
    message = Message.decode(body.encode())
    assert object_key(message).startswith(f"messages/order_placed/{message.accepted_at:%Y/%m/%d}/")
    (event,) = audit()
    assert (event.kind, event.contract) == ("accepted", "order_placed")
    status = client.get(
        f"/messages/{message.message_id}/", headers={"authorization": f"Bearer {factories.ALICE}"}
    )
    assert status.json()["contract"] == "order_placed"


def test_trace_names_it(client, queue, audit, capsys):
    message_id = post(client).json()["message_id"]
    audit()
    call_command("trace", message_id)
    assert "contract order_placed" in capsys.readouterr().out
    call_command("trace", message_id, "--json")
    assert json.loads(capsys.readouterr().out)["contract"] == "order_placed"


def test_the_admin_shows_it_and_filters_by_it(admin_client, client, queue, audit):
    message_id = post(client).json()["message_id"]
    post(client, "/messages/readings/", '{"value": "x"}')
    audit()
    page = admin_client.get(f"/admin/audit/auditevent/message/{message_id}/").content.decode()
    assert "<dt>Contract</dt><dd>order_placed</dd>" in page
    listed = admin_client.get("/admin/audit/auditevent/?contract=readings").content.decode()
    assert "contract_invalid" in listed
    assert message_id not in listed


def test_messages_of_the_default_contract_are_as_ever(client, queue, audit):
    data = json_text.write(contracts()[0].example)
    assert post(client, "/", data).status_code == 202
    (body,) = published(queue)
    assert '"contract"' not in body
    (event,) = audit()
    assert event.contract is None


def test_each_path_takes_its_own_contract_alone(client, queue):
    assert post(client, "/").status_code == 400
    assert post(client, "/messages/readings/").status_code == 400
    assert post(client, "/messages/order_placed_too/").status_code == 404
    answer = post(client, PATH, '{"value": 1}')
    assert set(answer.json()["errors"]) == {
        f"data.{name}" for name in ("order_id", "customer", "amount", "value")
    }
    assert published(queue) == []


def test_a_contract_may_refuse_what_no_field_can_see(client, queue, audit):
    """With a code that nobody else knows, it counts as invalid."""
    answer = post(client, PATH, '{"order_id": "o", "customer": "c", "amount": 0.00}')
    assert answer.json()["errors"] == {
        "data": [{"code": "invalid", "detail": "An order of nothing needs a note."}]
    }
    (event,) = audit()
    assert event.reason == "contract_invalid"
    good = '{"order_id": "o", "customer": "c", "amount": 0.00, "note": "n"}'
    assert post(client, PATH, good).status_code == 202


def test_requests_are_counted_by_contract(client, queue):
    def counted():
        return {
            result: metrics.contract_messages_total.labels("order_placed", result)._value.get()
            for result in ("accepted", "repeated", "refused")
        }

    before = counted()
    post(client)
    post(client, PATH, "{}")
    post(client, "/")
    assert {name: number - before[name] for name, number in counted().items()} == {
        "accepted": 1,
        "repeated": 0,
        "refused": 1,
    }


@pytest.mark.django_db(transaction=True)
def test_a_key_of_one_contract_is_no_other_ones(client, queue):
    data = '{"value": 1, "key": "same"}'
    first = post(client, "/messages/readings/", data, idempotency_key="k")
    assert post(client, "/messages/readings/", data, idempotency_key="k").json() == first.json()
    assert post(client, PATH, ORDER, idempotency_key="k").status_code == 422


@pytest.mark.django_db(transaction=True)
def test_with_a_key_the_bytes_follow_from_the_values(client, queue):
    """A repeat after an unknown outcome publishes again, and must publish the same."""
    spellings = (
        '{"key":"k\\u00e9","value":1.10}',
        '{ "value" : 1.10 , "key" : "ké" }',
    )
    for number, data in enumerate(spellings):
        headers = {"idempotency_key": f"k{number}"}
        assert post(client, "/messages/readings/", data, **headers).status_code == 202
    for body in published(queue):
        assert body.endswith(',"data":{"key":"ké","value":1.10}}')


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("again", "status"),
    [
        ('{"key":"k","value":1.10}', 202),
        ('{"value": 1.1, "key": "k"}', 422),
        ('{"value": 1.100, "key": "k"}', 422),
    ],
)
def test_a_key_stands_for_the_values_not_for_their_order(client, queue, again, status):
    first = post(client, "/messages/readings/", '{"value": 1.10, "key": "k"}', idempotency_key="k")
    assert first.status_code == 202
    second = post(client, "/messages/readings/", again, idempotency_key="k")
    assert second.status_code == status


BOUND = json.dumps(
    {
        "alice": {"tokens": [factories.ALICE], "contracts": ["readings"]},
        "bob": [factories.BOB],
    }
)


def test_a_client_may_be_bound_to_contracts(client, queue, settings, audit):
    settings.API_TOKENS = BOUND
    tokens.store.cache_clear()
    assert post(client, "/messages/readings/", '{"value": 1}').status_code == 202
    for path in ("/", PATH):
        answer = post(client, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "contract_not_allowed")
        assert answer.json()["detail"].endswith("but of: readings.")
    assert post(client, PATH, token=factories.BOB).status_code == 202
    refused = [event for event in audit() if event.kind == "refused"]
    assert [(event.client, event.reason) for event in refused] == [
        ("alice", "contract_not_allowed")
    ] * 2


def test_a_token_in_the_body_is_bound_as_well(client, queue, settings):
    settings.API_TOKENS = BOUND
    tokens.store.cache_clear()
    body = f'{{"token": "{factories.ALICE}", "data": {ORDER}}}'
    answer = client.post(PATH, body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "contract_not_allowed")


def test_each_contract_has_a_page(client):
    for contract in contracts():
        page = client.get(contract.path, headers=BROWSER).content.decode()
        assert f"Send a message of {contract.name}" in page
        assert f'action="{contract.path}"' in page
        for name in contract.fields:
            assert f'data-name="{name}"' in page
        for other in contracts():
            assert f'href="{other.path}"' in page


def test_get_describes_a_contract_to_programs(client):
    answer = client.get(PATH, headers={"accept": "application/json"}).json()
    assert answer["send"] == f"POST {PATH} with a JSON object of token and data"
    assert answer["fields"] == ["order_id", "customer", "amount", "note"]
    assert answer["contract"] == "order_placed"
    assert answer["example"] == (
        '{"order_id":"o-1","customer":"c-1","amount":12.10,"note":"quick"}'
    )


def test_the_schema_has_all_contracts(client):
    document = SchemaGenerator(patterns=None).get_schema(request=None, public=True)
    validate_schema(document)
    for contract in contracts():
        operation = document["paths"][contract.path]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        schema = {"components": document["components"], **content["schema"]}
        for each in content["examples"].values():
            Draft202012Validator(schema, format_checker=FormatChecker()).validate(each["value"])
            sent = post(client, contract.path, json.dumps(each["value"]["data"]))
            assert sent.status_code in {202, 503}, sent.json()
    ids = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
    ]
    assert len(set(ids)) == len(ids)


def test_a_further_contract_adds_few_lines_to_the_schema():
    document = SchemaGenerator(patterns=None).get_schema(request=None, public=True)
    further = document["paths"]["/messages/readings/"]["post"]["responses"]
    assert [status for status, answer in further.items() if "$ref" not in answer] == ["400"]


@pytest.mark.django_db(transaction=True)
def test_send_sends_any_contract(live_server, queue, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CPSITE_TOKEN", factories.ALICE)
    url = ("--url", live_server.url)
    order = ("--contract", "order_placed")
    call_command("send", *url, *order, "--customer", "c 2", "--amount", "1.10")
    path = tmp_path / "data.json"
    path.write_text('{ "value":  1.500 }')
    call_command("send", *url, "--contract", "readings", "--data", str(path))
    call_command("send", *url)
    bodies = published(queue)
    assert '"data":{"order_id": "o-1", "customer": "c 2", "amount": 1.10}}' in bodies[0]
    assert '"data":{ "value":  1.500 }}' in bodies[1]
    assert '"contract"' not in bodies[2]
    with pytest.raises(CommandError, match="not accepted"):
        call_command("send", *url, *order, "--amount", '"1.10"')
    assert '"data.amount"' in capsys.readouterr().out


def test_a_client_of_a_contract_that_is_not_here_is_told_once(caplog):
    """Another version of the service may have it."""
    text = json.dumps({"alice": {"tokens": ["a-token-0123"], "contracts": ["readings", "ordr"]}})
    store = tokens.TokenStore(lambda: text)
    for _ in range(2):
        store._load()
    (line,) = [each for each in caplog.records if each.msg == "client_contracts_unknown"]
    assert line.clients == "alice"


@pytest.mark.parametrize(
    ("path", "takes"),
    [
        (PATH, True),
        ("/messages/order%5Fplaced/", True),
        ("/messages/ordr/", False),
        ("/messages/6b1f1d5e-0000-4000-8000-000000000001/", False),
        ("/docs/", False),
    ],
)
def test_only_paths_of_contracts_take_long_bodies(settings, path, takes):
    longest = settings.MAX_BODY_BYTES if takes else bodies.PAGE_BODY_BYTES
    assert bodies.longest(path) == longest


def test_a_message_over_http_is_audited_with_its_contract(rf, settings, audit):
    settings.SECURE_SSL_REDIRECT = True
    answer = TransportMiddleware(lambda request: None)(rf.post(PATH, ORDER, "application/json"))
    assert answer.status_code == 403
    (event,) = audit()
    assert (event.reason, event.contract) == ("https_required", "order_placed")


def test_ids_of_the_form_are_unique(client):
    """Whatever the fields are called, also with a text of help."""
    for contract in contracts():
        page = client.get(contract.path, headers=BROWSER).content.decode()
        ids = re.findall(r' id="([^"]+)"', page)
        assert sorted(set(ids)) == sorted(ids)
