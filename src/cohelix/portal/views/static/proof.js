// Checks in the browser that an entry is in a log: RFC 9162 hashing up to the root of a signed checkpoint, and its signature.

const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const joined = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
const fromBase64 = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);
const utf8 = (text) => new TextEncoder().encode(text);

// Whether the entry is at its number in the tree of this size and root (RFC 9162, section 2.1.3.2).
async function isIncluded(entry, number, size, root, path) {
  let at = BigInt(number), last = BigInt(size) - 1n;
  if (at < 0n || at > last) return false;
  let made = await sha256(joined([0], utf8(entry)));
  for (const one of path) {
    if (last === 0n) return false;
    if (at & 1n || at === last) {
      made = await sha256(joined([1], one, made));
      while (!(at & 1n) && at) { at >>= 1n; last >>= 1n; }
    } else {
      made = await sha256(joined([1], made, one));
    }
    at >>= 1n; last >>= 1n;
  }
  return last === 0n && same(made, root);
}

// The note's own signature: four bytes that name the key, then Ed25519 over the text with its last newline.
async function isSigned(text, key, line) {
  const raw = await crypto.subtle.importKey("raw", fromBase64(key), "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", raw, fromBase64(line.slice(line.lastIndexOf(" ") + 1)).slice(4), utf8(text));
}

/** What a proof shows: "holds", "not-in-log" or "not-signed"; with the checkpoint's lines. */
export async function check(proof) {
  const [head, below] = proof.checkpoint.split("\n\n");
  const [origin, size, root, at, key] = head.split("\n");
  const told = { origin, size, at: at?.replace(/^at /, ""), key: key?.replace(/^key /, "") };
  const number = JSON.parse(proof.entry).n;
  const path = proof.proof.map(fromHex);
  if (number !== proof.number || !(await isIncluded(proof.entry, number, size, fromBase64(root), path))) return { ...told, is: "not-in-log" };
  return { ...told, is: (await isSigned(`${head}\n`, told.key, below.split("\n")[0])) ? "holds" : "not-signed" };
}

for (const link of document.querySelectorAll("a[data-proof]")) {
  const words = document.querySelector("[data-holds]").dataset;
  const button = document.createElement("button"), said = document.createElement("p");
  button.type = "button";
  button.className = "button plain-button";
  button.textContent = words.check;
  button.setAttribute("aria-label", `${words.check}: ${link.textContent}`);
  said.setAttribute("role", "status");
  said.className = "small";
  button.addEventListener("click", async () => {
    try {
      const found = await check(await (await fetch(link.href)).json());
      const sentence = { holds: words.holds, "not-in-log": words.notInLog, "not-signed": words.notSigned }[found.is];
      said.className = found.is === "holds" ? "notice" : "notice warn";
      said.textContent = sentence.replace("{size}", found.size).replace("{at}", found.at).replace("{key}", found.key);
    } catch {
      said.className = "notice";
      said.textContent = words.cannot;
    }
  });
  link.after(" ", button, said);
}
