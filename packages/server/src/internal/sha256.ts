import { createHash } from "node:crypto"

/** In hexadecimal. Of a secret that is long and random it tells nothing. */
export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")
