/** A UUID of version 7 (RFC 9562): 48 bits of time, then chance. */
export function uuid7(nowMs: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  bytes[0] = 0x70 | (bytes[0]! & 0x0f);
  bytes[2] = 0x80 | (bytes[2]! & 0x3f);
  const chance = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const hex = nowMs.toString(16).padStart(12, "0") + chance;
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}
