// Verifies captured deliveries with the official Standard Webhooks library.
// Arguments: the JSON file that `cargo xtask verify-libraries` wrote, and the folder with the library.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [file, folder] = process.argv.slice(2);
const { Webhook, WebhookVerificationError } = createRequire(join(folder, "package.json"))("standardwebhooks");

function accepts(secret, body, headers) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

function* expectations({ headers, live, foreign, body: encoded }) {
  const body = Buffer.from(encoded, "base64").toString("utf8");
  for (const secret of live) {
    yield ["live secret", true, accepts(secret, body, headers)];
    yield ["changed body", false, accepts(secret, `${body} `, headers)];
  }
  for (const secret of foreign) {
    yield ["foreign secret", false, accepts(secret, body, headers)];
  }
}

const deliveries = JSON.parse(readFileSync(file, "utf8"));
let [accepted, refused, wrong] = [0, 0, 0];
for (const delivery of deliveries) {
  for (const [description, expected, found] of expectations(delivery)) {
    if (found) accepted += 1;
    else refused += 1;
    if (found !== expected) {
      wrong += 1;
      console.log(`${delivery.profile}, ${delivery.format}: ${description}: expected ${expected}, found ${found}`);
    }
  }
}
console.log(`node: ${deliveries.length} deliveries, ${accepted} signatures accepted, ${refused} refused, ${wrong} wrong`);
process.exit(wrong || !accepted || !refused ? 1 : 0);
