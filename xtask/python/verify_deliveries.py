"""Verifies captured deliveries with the official Standard Webhooks and CloudEvents libraries and with plain HMAC.

Argument: the JSON file that `cargo xtask verify-libraries` wrote.
"""

import base64
import hashlib
import hmac
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def standard_accepts(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


def hex_hmac(secret, content):
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def own_profile_accepts(profile, secret, body, headers):
    """The profile's own header, as its documentation describes it; None where there is none."""
    if profile == "arjun":
        return hmac.compare_digest(headers["x-arjun-signature"], "sha256=" + hex_hmac(secret, body))
    if profile == "platformxe":
        signed = headers["x-event-timestamp"].encode() + b"." + body
        return hmac.compare_digest(headers["x-event-signature"], hex_hmac(secret, signed))
    return None


# The handle of the trials.
HANDLE = "trial"
PAYLOAD = {"text": "käse \u2028 \"quoted\" 🧀", "number": 1e21, "list": [None, True, []]}


def payload_of(delivery):
    """The payload, read as each format's documentation says."""
    body = base64.b64decode(delivery["body"])
    member = {"native": "payload", "standard": "data"}
    if delivery["format"] in member:
        return json.loads(body)[member[delivery["format"]]]
    return cloud_event(delivery).get_data()


def cloud_event(delivery):
    """The event, as the official library reads it out of the request; it finds out the mode by itself."""
    return from_http_event(HTTPMessage(headers=delivery["headers"], body=base64.b64decode(delivery["body"])))


def attributes_are_right(delivery):
    event, headers = cloud_event(delivery), delivery["headers"]
    binary = delivery["format"] == "cloudevents-binary"
    found = event.get_attributes()
    return (
        found["id"] == headers["webhook-id"]
        and found["source"] == "/handles/" + HANDLE
        and found["type"] == "library.check"
        and found["specversion"] == "1.0"
        and found["datacontenttype"] == "application/json"
        and found["time"].utcoffset().total_seconds() == 0
        and str(found["attempt"]) == "1"
        and found["partitionkey"] == 'k "é" 100%'
        and any(name.startswith("ce-") for name in headers) == binary
        and "ce-datacontenttype" not in headers
    )


def expectations(delivery):
    """Yields what is expected of each combination: (description, expected, found)."""
    profile, headers = delivery["profile"], delivery["headers"]
    body = base64.b64decode(delivery["body"])
    # A space behind the last brace is still the same JSON, and no longer the same bytes.
    changed = body + b" "
    newest, *_ = delivery["live"]
    yield "payload", True, payload_of(delivery) == PAYLOAD
    if delivery["format"].startswith("cloudevents"):
        yield "attributes", True, attributes_are_right(delivery)
    for secret in delivery["live"]:
        yield "standard, live secret", True, standard_accepts(secret, body, headers)
        yield "standard, changed body", False, standard_accepts(secret, changed, headers)
        yield "own header, live secret", secret == newest, own_profile_accepts(profile, secret, body, headers)
    for secret in delivery["foreign"]:
        yield "standard, foreign secret", False, standard_accepts(secret, body, headers)
        yield "own header, foreign secret", False, own_profile_accepts(profile, secret, body, headers)
    yield "own header, changed body", False, own_profile_accepts(profile, newest, changed, headers)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        deliveries = json.load(file)
    accepted = refused = wrong = 0
    for delivery in deliveries:
        for description, expected, found in expectations(delivery):
            if found is None:
                continue
            accepted += found
            refused += not found
            if found != expected:
                wrong += 1
                print(f"{delivery['profile']}, {delivery['format']}: {description}: expected {expected}, found {found}")
    print(f"python: {len(deliveries)} deliveries, {accepted} checks accepted, {refused} refused, {wrong} wrong")
    return 1 if wrong or not accepted or not refused else 0


if __name__ == "__main__":
    sys.exit(main())
