import { hash } from "node:crypto"

/** In hexadecimal. Of a secret that is long and random it tells nothing. */
export const sha256 = (text: string): string => hash("sha256", text, "hex")
