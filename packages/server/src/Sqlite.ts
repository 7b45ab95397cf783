/**
 * A `SqlClient` over `node:sqlite`: one connection, no native addon.
 *
 * Statements run one at a time on the calling thread, and are prepared once. A file is opened in WAL mode, so other
 * processes can read it, and is created for its owner alone, since it will hold private keys.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { closeSync, openSync } from "node:fs"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The file, made when it isn't there. `:memory:` keeps everything in this process. */
  readonly filename: string
}

/**
 * Opens the database, and closes it with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(
    options: Options
  ): Effect.fn.Return<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope | Reactivity.Reactivity> {
    const database = yield* Effect.acquireRelease(
      open(options.filename),
      (database) => Effect.sync(() => database.close())
    )
    const statements = new Map<string, StatementSync>()

    const prepare = (sql: string): StatementSync => {
      const prepared = statements.get(sql)
      if (prepared !== undefined) return prepared
      const statement = database.prepare(sql)
      // A program has a fixed set of statements; the bound is for one that builds them from data.
      if (statements.size < maxStatements) statements.set(sql, statement)
      return statement
    }

    const run = (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.withFiber<ReadonlyArray<Row>, SqlError.SqlError>((fiber) =>
        Effect.try({
          try: () => {
            const statement = prepare(sql)
            statement.setReadBigInts(fiber.getRef(SqlClient.SafeIntegers))
            statement.setReturnArrays(false)
            return statement.all(...params.map(toInput))
          },
          catch: (cause) => toSqlError(cause, "execute")
        })
      )

    const runValues = (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.withFiber<ReadonlyArray<ReadonlyArray<unknown>>, SqlError.SqlError>((fiber) =>
        Effect.try({
          try: () => {
            const statement = prepare(sql)
            statement.setReadBigInts(fiber.getRef(SqlClient.SafeIntegers))
            statement.setReturnArrays(true)
            const rows: ReadonlyArray<unknown> = statement.all(...params.map(toInput))
            return rows.filter((row) => Array.isArray(row))
          },
          catch: (cause) => toSqlError(cause, "execute")
        })
      )

    const rows: SqlConnection.Connection["execute"] = (sql, params, transformRows) =>
      transformRows === undefined ? run(sql, params) : Effect.map(run(sql, params), transformRows)

    const connection: SqlConnection.Connection = {
      execute: rows,
      executeUnprepared: rows,
      executeRaw: run,
      executeValues: runValues,
      executeValuesUnprepared: runValues,
      executeStream: (sql, params, transformRows) =>
        Stream.unwrap(Effect.map(rows(sql, params, transformRows), Stream.fromIterable))
    }

    return yield* SqlClient.make({
      ...SqlClient.makeSqliteAcquirers({
        connection: Effect.succeed(connection),
        semaphore: yield* Semaphore.make(1),
        isTransaction: () => database.isTransaction
      }),
      compiler: Statement.makeCompilerSqlite(),
      driver: "node-sqlite",
      // A transaction takes the write lock when it begins: taking it later can fail at once, whatever the timeout.
      beginTransaction: "BEGIN IMMEDIATE",
      spanAttributes: [["db.system.name", "sqlite"]]
    })
  }
)

type Row = ReturnType<StatementSync["all"]>[number]

const maxStatements = 256

const open = (filename: string): Effect.Effect<DatabaseSync, SqlError.SqlError> =>
  Effect.try({
    try: () => {
      // SQLite gives the journal the permissions of the database.
      if (filename !== ":memory:") closeSync(openSync(filename, "a", 0o600))
      const database = new DatabaseSync(filename, { timeout: 5000, enableForeignKeyConstraints: true })
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
      return database
    },
    catch: (cause) => toSqlError(cause, "connect")
  })

const toInput = (value: unknown): SQLInputValue => {
  if (
    value === null || typeof value === "string" || typeof value === "number" || typeof value === "bigint" ||
    value instanceof Uint8Array
  ) {
    return value
  }
  if (value === undefined) return null
  if (typeof value === "boolean") return value ? 1 : 0
  if (value instanceof Date) return value.toISOString()
  throw new TypeError(`SQLite can't store a value of type ${typeof value}`)
}

const toSqlError = (cause: unknown, operation: string): SqlError.SqlError => {
  // `node:sqlite` has `errcode`; the classifier reads `errno`.
  const classified = Predicate.hasProperty(cause, "errcode") ? Object.assign(cause, { errno: cause.errcode }) : cause
  const message = operation === "connect" ? "The database can't be opened" : "The database refused a statement"
  return new SqlError.SqlError({ reason: SqlError.classifySqliteError(classified, { message, operation }) })
}

/**
 * The database of one file.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))
