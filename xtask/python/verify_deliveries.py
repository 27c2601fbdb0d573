"""Verifies captured deliveries with the official Standard Webhooks library and with plain HMAC.

Argument: the JSON file that `cargo xtask verify-libraries` wrote.
"""

import base64
import hashlib
import hmac
import json
import sys

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


def expectations(delivery):
    """Yields what is expected of each combination: (description, expected, found)."""
    profile, headers = delivery["profile"], delivery["headers"]
    body = base64.b64decode(delivery["body"])
    # A space behind the last brace is still the same JSON, and no longer the same bytes.
    changed = body + b" "
    newest, *_ = delivery["live"]
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
                print(f"{delivery['profile']}: {description}: expected {expected}, found {found}")
    print(f"python: {len(deliveries)} deliveries, {accepted} signatures accepted, {refused} refused, {wrong} wrong")
    return 1 if wrong or not accepted or not refused else 0


if __name__ == "__main__":
    sys.exit(main())
