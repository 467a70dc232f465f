/** 128 bits of chance: a secret of this browser, by which the service knows its visitor. */
export function visitorId(): string {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}

/** A UUID of version 7 (RFC 9562): 48 bits of time, then chance. */
export function uuid7(nowMs: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  bytes[0] = 0x70 | (bytes[0]! & 0x0f);
  bytes[2] = 0x80 | (bytes[2]! & 0x3f);
  const digits = nowMs.toString(16).padStart(12, "0") + hex(bytes);
  return digits.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
