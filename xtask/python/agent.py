"""An agent of the official Python library for the Model Context Protocol, asking a running service.

agent.py URL TOKEN READ_ONLY_TOKEN

Searches documents, makes a webhook for a receiver of its own, tests it, reads what became of the delivery and asks for
it once more, in each way of connecting that the library has; and is told why it may not do what its token does not
allow. Prints what it found; ends with 1 at the first thing that is another than expected.
"""

import asyncio
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mcp import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

TOOLS = {
    "context_store_search",
    "context_store_status",
    "context_store_sync",
    "webhooks_create",
    "webhooks_deliveries",
    "webhooks_list",
    "webhooks_replay",
    "webhooks_test",
}


# How long a delivery on this machine may take, on one that has other things to do.
ARRIVES_WITHIN = 60


class Receiver(BaseHTTPRequestHandler):
    """Takes whatever is delivered."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def expect(holds, what):
    if not holds:
        sys.exit(f"not as expected: {what}")


def connected(url, token, mode):
    http = create_mcp_http_client(headers={"authorization": f"Bearer {token}"})
    return Client(streamable_http_client(url, http_client=http), mode=mode)


async def answered(client, tool, arguments):
    result = await client.call_tool(tool, arguments)
    expect(not result.is_error, result)
    expect(json.loads(result.content[0].text) == result.structured_content, result)
    return result.structured_content


async def look_after(client, receiver):
    """Every tool, as an agent would come to it."""
    found = {tool.name for tool in (await client.list_tools()).tools}
    expect(found == TOOLS, found)
    sources = (await answered(client, "context_store_status", {}))["items"]
    expect(len(sources) == 1, sources)
    source = sources[0]["sourceId"]
    await answered(client, "context_store_sync", {"sourceId": source})
    hits = await answered(client, "context_store_search", {"q": "lighthouse"})
    expect("harbour" in hits["items"][0]["text"], hits)
    made = await answered(client, "webhooks_create", {"endpointUrl": receiver, "eventTypes": ["order.paid"]})
    webhook = made["subscriptionId"]
    listed = (await answered(client, "webhooks_list", {}))["webhooks"]
    expect(webhook in [known["subscriptionId"] for known in listed], listed)
    tested = await answered(client, "webhooks_test", {"subscriptionId": webhook})
    life = await delivered(client, tested["deliveryId"])
    expect(life["eventType"] == "webhook.test", life)
    replay = await answered(client, "webhooks_replay", {"deliveryId": tested["deliveryId"]})
    again = await delivered(client, replay["deliveryId"])
    expect(again["replayOf"] == tested["deliveryId"], again)


async def delivered(client, delivery):
    """The life of a delivery, once its receiver has it."""
    deadline = time.monotonic() + ARRIVES_WITHIN
    while time.monotonic() < deadline:
        life = await answered(client, "webhooks_deliveries", {"deliveryId": delivery})
        if life["status"] == "delivered":
            return life
        await asyncio.sleep(0.05)
    sys.exit(f"not delivered within {ARRIVES_WITHIN} s: {life}")


async def is_told_why(client):
    """A refusal is an answer that says what is missing."""
    refused = await client.call_tool("webhooks_create", {"endpointUrl": "https://a.example/", "eventTypes": ["*"]})
    expect(refused.is_error and "webhooks.write" in refused.content[0].text, refused)
    wrong = await client.call_tool("webhooks_list", {"limit": 100_000})
    expect(wrong.is_error and "limit" in wrong.content[0].text, wrong)


async def main(url, token, read_only):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    receiver = f"http://127.0.0.1:{server.server_port}/hook"
    for mode in ("auto", "legacy"):
        async with connected(url, token, mode) as client:
            await look_after(client, receiver)
            version = client.protocol_version
        async with connected(url, read_only, mode) as client:
            await is_told_why(client)
        print(f"agent ({mode}, protocol {version}): {len(TOOLS)} tools found and asked, 2 refusals understood")


asyncio.run(main(*sys.argv[1:]))
