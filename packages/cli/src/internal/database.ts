import * as Database from "@effect-tenovos/server/Database"
import type { UnreadableKeys } from "@effect-tenovos/server/Keys"
import type { MalformedMasterKey } from "@effect-tenovos/server/MasterKey"
import * as CliError from "effect/cli/CliError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { MigrationError } from "effect/sql/Migrator"
import { isSqlError, type SqlError } from "effect/sql/SqlError"

/** A database that a command can't work with. */
export class DatabaseUnusable extends Data.TaggedError("DatabaseUnusable")<{ readonly message: string }> {
  override get [CliError.userMessage](): string {
    return this.message
  }
}

/** What to say of the ways in which this database can't be opened, by their tags. */
export const failures = (database: string) => {
  const unusable = (text: string) =>
    Effect.fail(new DatabaseUnusable({ message: `Can't use the database ${Database.toPrintable(database)}: ${text}` }))
  return {
    SqlError: (error: SqlError) => unusable(error.message),
    MigrationError: ({ cause, message }: MigrationError) =>
      unusable(isSqlError(cause) ? `${message}: ${cause.message}` : message),
    UnreadableKeys: ({ message, problem }: UnreadableKeys) =>
      unusable(problem === "Altered" ? message : `${message}, in TENOVOS_MASTER_KEY`),
    MalformedMasterKey: ({ message }: MalformedMasterKey) =>
      Effect.fail(new DatabaseUnusable({ message: `${message} (TENOVOS_MASTER_KEY, TENOVOS_MASTER_KEY_PREVIOUS)` }))
  }
}

/** Past its opening, a database that fails is a defect. */
export const catchLate = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchDefect(self, (defect) => isSqlError(defect) ? Effect.fail(defect) : Effect.die(defect))
