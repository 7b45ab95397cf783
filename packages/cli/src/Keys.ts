/**
 * `tenovos keys`: looks after the keys of an authority, also while one is running on the same database.
 *
 * @since 0.1.0
 */
import * as AuthorityServer from "@effect-tenovos/server/AuthorityServer"
import * as Database from "@effect-tenovos/server/Database"
import * as Keys from "@effect-tenovos/server/Keys"
import * as MasterKey from "@effect-tenovos/server/MasterKey"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import * as database from "./internal/database.ts"

const rotate = Command.make(
  "rotate",
  {
    database: database.flag("FILE|postgres://…", "Database of the authority."),
    immediately: Flag.Boolean("immediately").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Use the next keys at once, not ten minutes after they are published.")
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Say from when they are used as one line of JSON.")
    )
  },
  ({ database: name, immediately, json }) =>
    Effect.gen(function*() {
      // Opening it would make it, and a new one has nothing to rotate.
      if (!Database.isPostgres(name) && !existsSync(name)) {
        return yield* new database.DatabaseUnusable({ message: `There is no database ${name}` })
      }
      const masterKeys = yield* MasterKey.config
      const useFrom = yield* Keys.Keys.use((keys) => keys.rotate({ immediately })).pipe(
        Effect.provide(AuthorityServer.layerAuthority({ database: name, ...masterKeys })),
        database.catchLate,
        Effect.catchTags(database.failures(name))
      )
      const at = DateTime.formatIso(useFrom)
      yield* Console.log(json ? JSON.stringify({ useFrom: at }) : `The next keys are published, and used from ${at}`)
    })
).pipe(
  Command.withDescription(
    "Publish the next keys, and use them ten minutes later. The ones before are accepted for an hour."
  )
)

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make("keys").pipe(
  Command.withDescription("Look after the keys of an authority."),
  Command.withSubcommands([rotate])
)
