import * as AuthorityServer from "@effect-tenovos/server/AuthorityServer"
import * as Database from "@effect-tenovos/server/Database"
import * as Keys from "@effect-tenovos/server/Keys"
import * as MasterKey from "@effect-tenovos/server/MasterKey"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import * as databases from "./database.ts"

interface Options {
  readonly database: string
  readonly immediately: boolean
  readonly json: boolean
}

/** Publishes the next keys of an authority. */
export const rotate = Effect.fnUntraced(function*({ database, immediately, json }: Options) {
  // Opening it would make it, and a new one has nothing to rotate.
  if (!Database.isPostgres(database) && !existsSync(database)) {
    return yield* new databases.DatabaseUnusable({ message: `There is no database ${database}` })
  }
  const masterKeys = yield* MasterKey.config
  const useFrom = yield* Keys.Keys.use((keys) => keys.rotate({ immediately })).pipe(
    Effect.provide(AuthorityServer.layerAuthority({ database, ...masterKeys })),
    databases.catchLate,
    Effect.catchTags(databases.failures(database))
  )
  const at = DateTime.formatIso(useFrom)
  yield* Console.log(json ? JSON.stringify({ useFrom: at }) : `The next keys are published, and used from ${at}`)
})
