"""A bridge from webhooks to the context store, with the standard library alone.

When a verified webhook says that a document has changed, its source is brought up to date. Settings:

    WEBHOOK_SECRET  the secret of the webhook that leads here
    API_BASE        where Angarium listens, such as http://127.0.0.1:8080
    HANDLE          whose documents
    PAT             a personal access token with mcp.connect and context_store.manage
    SOURCES         which source an event type concerns: guide.changed=src_…,faq.changed=src_…

    python3 bridge.py 9000
"""

import hashlib
import hmac
import json
import os
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 1024 * 1024
SYNC_SECONDS_MAX = 5


def is_ours(secret, body, header):
    """Whether the body was signed with the secret (profile `arjun`: sha256= and the digest in hexadecimal)."""
    # It covers no time: whoever repeats a request of ours brings about one sync more, and nothing else.
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), header.encode())


def sync(source):
    """Asks for a sync; again while one runs is the same sync, so that a repeated webhook does no harm."""
    request = urllib.request.Request(
        f"{os.environ['API_BASE']}/v2/mcp/{os.environ['HANDLE']}/context-store/sources/{source}/sync",
        data=b"{}",
        headers={"authorization": f"Bearer {os.environ['PAT']}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=SYNC_SECONDS_MAX) as answer:
        return json.load(answer)["status"]


class Bridge(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    secret = os.environ["WEBHOOK_SECRET"]
    sources = dict(pair.split("=", 1) for pair in os.environ["SOURCES"].split(","))

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        # Before anything parses the body: a body that was printed again has other bytes.
        if not is_ours(self.secret, body, self.headers.get("x-arjun-signature", "")):
            return self.answer(401)
        event = json.loads(body)
        source = self.sources.get(event["type"])
        if source is None:
            return self.answer(204)
        try:
            status = sync(source)
        except (urllib.error.URLError, TimeoutError) as error:
            # Not lost: the webhook is delivered again.
            print("no sync of", source, "yet:", error, flush=True)
            return self.answer(503)
        print(event["type"], event["id"], "asks for", source + ":", status, flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Bridge)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
