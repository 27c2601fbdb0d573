// A receiver of webhooks, with the official library of Standard Webhooks.
// npm install standardwebhooks
// WEBHOOK_SECRET=whsec_… node receiver_official.cjs 9000

const { createServer } = require("node:http");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const BODY_BYTES_MAX = 1024 * 1024;
const webhook = new Webhook(process.env.WEBHOOK_SECRET);

// Delivery is at least once. A real receiver keeps these where a restart does not lose them.
const seen = new Set();

/** The raw body: verify it before anything parses it. */
async function read(request) {
  const pieces = [];
  let bytes = 0;
  for await (const piece of request) {
    bytes += piece.length;
    if (bytes > BODY_BYTES_MAX) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** The event, or undefined if the request is not ours. */
function verified(body, headers) {
  try {
    return webhook.verify(body, headers);
  } catch (error) {
    if (error instanceof WebhookVerificationError) return undefined;
    throw error;
  }
}

const server = createServer(async (request, response) => {
  const body = await read(request);
  if (body === undefined) return response.writeHead(413).end();
  const event = verified(body, request.headers);
  if (event === undefined) return response.writeHead(401).end();
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) {
    seen.add(id);
    console.log("received", event.type, id);
  }
  response.writeHead(204).end();
});

server.listen(Number(process.argv[2]), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
