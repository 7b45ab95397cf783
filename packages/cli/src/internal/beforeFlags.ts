import { channel } from "node:diagnostics_channel"

/**
 * Told before this process sets flags of V8's: what V8 has compiled can be kept for another start only until then. A
 * channel of Node's, as who keeps it and who sets flags are in different bundles, which share no module.
 */
export const beforeFlags = channel("@effect-tenovos/cli/beforeFlags")
