// A receiver of webhooks, with nothing but Node.
// WEBHOOK_SECRET=whsec_… node receiver.mjs 9000

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE_SECONDS = 300;
const BODY_BYTES_MAX = 1024 * 1024;
const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");

// Delivery is at least once. A real receiver keeps these where a restart does not lose them.
const seen = new Set();

/** Whether a request was signed with the secret, over this very body, a short time ago. */
function isOurs(body, headers) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": list } = headers;
  if (!id || !list || !/^\d+$/.test(timestamp ?? "")) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // A list: while a secret is being rotated, one token for each.
  return list.split(" ").some((token) => {
    const [version, encoded] = token.split(",", 2);
    const found = Buffer.from(encoded ?? "", "base64");
    return version === "v1" && found.length === expected.length && timingSafeEqual(found, expected);
  });
}

/** The raw body: verify it before anything parses it. */
async function read(request) {
  const pieces = [];
  let bytes = 0;
  for await (const piece of request) {
    bytes += piece.length;
    if (bytes > BODY_BYTES_MAX) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const server = createServer(async (request, response) => {
  const body = await read(request);
  if (body === undefined) return response.writeHead(413).end();
  if (!isOurs(body, request.headers)) return response.writeHead(401).end();
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) {
    seen.add(id);
    console.log("received", JSON.parse(body).type, id);
  }
  response.writeHead(204).end();
});

server.listen(Number(process.argv[2]), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
