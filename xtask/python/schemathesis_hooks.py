"""What schemathesis may not decide by itself: where deliveries go.

A made-up address would be looked up, and connected to. Every address that looks like one is
replaced by a closed port of this machine.
"""

import schemathesis

NOBODY = "http://127.0.0.1:9/"


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        for field in ("endpointUrl", "url"):
            url = body.get(field)
            if isinstance(url, str) and url.lower().startswith("http"):
                body[field] = NOBODY
    return body
