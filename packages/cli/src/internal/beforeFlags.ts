import { channel } from "node:diagnostics_channel"

/** Told before this process sets flags of V8's: what V8 has compiled can be kept for another start only until then. */
export const beforeFlags = channel("@effect-tenovos/cli/beforeFlags")
