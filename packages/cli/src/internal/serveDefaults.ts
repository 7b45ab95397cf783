import * as Config from "effect/Config"

// What `tenovos serve` does when it isn't told otherwise.

export const host = "127.0.0.1"

export const port = 4010

/** Said by the environment, and else in the folder that the command runs in. */
export const databaseConfig = Config.String("TENOVOS_DATABASE")

export const database = "tenovos.sqlite"
